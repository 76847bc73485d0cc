//! The edges from one span back towards its origin.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::MAX_LINKS;
use crate::domain::{
    model::{
        ids::{SpanId, TraceId},
        span::{
            AttributeName, AttributeScope, EventView, LinkView, SpanKind, SpanRef, SpanStatus,
            SpanView, Value,
        },
    },
    traceql::{Selector, SelectorContext},
    workflow::{EventKey, evidence::hash},
};

/// The links that are followed: a hash of the selector that they must match, or of the message id
/// that they carry, or 0 for all of them.
///
/// It is stored with every edge, since the attributes of links are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkFilter(pub i64);

impl LinkFilter {
    pub const ALL: Self = Self(0);

    pub fn new(only: Option<&Selector>) -> Self {
        let Some(selector) = only else {
            return Self::ALL;
        };
        Self::of_hash(&Sha256::digest(selector.text().as_bytes()))
    }

    /// Returns the filter for the edges of one message: those of spans and links with its id in
    /// `attribute`.
    pub fn of_message(attribute: &AttributeName, message: EventKey) -> Self {
        let key = attribute.key.as_bytes();
        Self::of_hash(&hash(&[b"message", key, &message.0]).0)
    }

    fn of_hash(hash: &[u8]) -> Self {
        let bytes = hash.first_chunk().copied().unwrap_or_default();
        Self(i64::from_be_bytes(bytes))
    }
}

/// The edges that lead from one span back towards its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edges {
    pub filter: LinkFilter,
    pub span: SpanRef,
    pub parent: Option<SpanId>,
    /// At most [`MAX_LINKS`].
    pub links: BTreeSet<SpanRef>,
    /// True if it had more links than are read.
    pub is_cut: bool,
}

impl Edges {
    /// Makes the edge from the span to its parent.
    pub fn to_parent(filter: LinkFilter, span: &dyn SpanView) -> Self {
        Self {
            filter,
            span: SpanRef::of(span),
            parent: span.parent_span_id(),
            links: BTreeSet::new(),
            is_cut: false,
        }
    }

    /// Returns the targets of the edges: the links, which take precedence, or otherwise the parent.
    pub fn targets(&self) -> impl Iterator<Item = SpanRef> + '_ {
        let parent = self.parent.filter(|_| self.links.is_empty());
        let parent = parent.map(|span_id| SpanRef {
            span_id,
            ..self.span
        });
        self.links.iter().copied().chain(parent)
    }

    /// Returns whether the span is a root without links: then nothing needs to be stored.
    pub fn lead_nowhere(&self) -> bool {
        self.parent.is_none() && self.links.is_empty()
    }
}

/// Returns the edges of `span`, by the links that match `only`. A link to the span itself or to its
/// parent adds nothing and is ignored.
pub fn edges(span: &dyn SpanView, only: Option<&Selector>) -> Edges {
    let mut edges = Edges::to_parent(LinkFilter::new(only), span);
    let (own, parent) = (edges.span, edges.parent);
    let mut seen = 0;
    span.any_link(&mut |link| {
        let follows = only.is_none_or(|selector| {
            selector.matches(&OneLink { span, link }, SelectorContext::default())
        });
        let (true, Some(trace_id), Some(span_id)) = (follows, link.trace_id(), link.span_id())
        else {
            return false;
        };
        seen += 1;
        if seen > MAX_LINKS {
            edges.is_cut = true;
            return true;
        }
        let is_near =
            trace_id == own.trace_id && (span_id == own.span_id || Some(span_id) == parent);
        if !is_near {
            edges.links.insert(SpanRef { trace_id, span_id });
        }
        false
    });
    edges
}

/// A span as if it had only this link, so that a selector chooses among links.
pub struct OneLink<'a> {
    pub span: &'a dyn SpanView,
    pub link: &'a dyn LinkView,
}

impl std::fmt::Debug for OneLink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneLink")
            .field("span", &self.span.span_id())
            .field("link", &self.link.span_id())
            .finish()
    }
}

impl SpanView for OneLink<'_> {
    fn trace_id(&self) -> TraceId {
        self.span.trace_id()
    }

    fn span_id(&self) -> SpanId {
        self.span.span_id()
    }

    fn parent_span_id(&self) -> Option<SpanId> {
        self.span.parent_span_id()
    }

    fn name(&self) -> &str {
        self.span.name()
    }

    fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    fn status(&self) -> SpanStatus {
        self.span.status()
    }

    fn status_message(&self) -> &str {
        self.span.status_message()
    }

    fn dropped_links_count(&self) -> u32 {
        self.span.dropped_links_count()
    }

    fn has_random_trace_id(&self) -> bool {
        self.span.has_random_trace_id()
    }

    fn start_unix_nano(&self) -> u64 {
        self.span.start_unix_nano()
    }

    fn end_unix_nano(&self) -> u64 {
        self.span.end_unix_nano()
    }

    fn trace_state(&self) -> &str {
        self.span.trace_state()
    }

    fn instrumentation_name(&self) -> &str {
        self.span.instrumentation_name()
    }

    fn instrumentation_version(&self) -> &str {
        self.span.instrumentation_version()
    }

    fn attribute(&self, scope: AttributeScope, key: &str) -> Option<Value<'_>> {
        self.span.attribute(scope, key)
    }

    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>)) {
        self.span.each_attribute(each);
    }

    fn each_asked_key(&self, each: &mut dyn FnMut(&[u8])) {
        self.span.each_asked_key(each);
    }

    fn any_event(&self, test: &mut dyn FnMut(&dyn EventView) -> bool) -> bool {
        self.span.any_event(test)
    }

    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool {
        test(self.link)
    }
}

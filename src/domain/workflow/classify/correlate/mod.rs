//! Finds the workflows of a span.

pub(super) mod messages;

use std::collections::BTreeMap;

use super::Role;
use crate::domain::{
    model::{
        ids::TraceId,
        span::{AttributeName, AttributeScope, LinkView, SpanRef, SpanView, Value},
        trace_state,
    },
    slo::{Correlator, LinkBatch},
    traceql::Selector,
    workflow::{
        EventKey,
        evidence::hash,
        links::{LinkFilter, MAX_LINKS},
        trace_key,
    },
};

/// The limit of labels and customer names in bytes, so that no row grows with what senders write.
const MAX_TEXT: usize = 256;
const CUT: char = '…';
/// A longer value is not an id: probably a payload was sent in its place, and hashing it would hide
/// that.
pub(super) const MAX_KEY: usize = 1_024;

/// The limit of elements of one array that are read as ids.
const MAX_IDS: usize = 128;

/// The workflow that a span belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) key: EventKey,
    pub(super) label: String,
}

/// The result of a span's correlators.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Correlation {
    /// It belongs to these workflows, each listed once; `is_cut` if it had more ids than are read.
    Of {
        identities: Vec<Identity>,
        is_cut: bool,
        is_of_links: bool,
    },
    /// It belongs to the workflows that its links lead to.
    Origin {
        filter: LinkFilter,
        batch: LinkBatch,
    },
    /// It published these messages, which share its context.
    Published { messages: u32, is_cut: bool },
    /// It received messages that were published by these spans.
    Received {
        messages: BTreeMap<(SpanRef, EventKey), String>,
        is_cut: bool,
    },
    /// It is about one message, which its parent published, or received in a batch.
    ReceivedByParent {
        message: EventKey,
        filter: LinkFilter,
        label: String,
    },
    /// None of the correlators is present.
    Absent,
    /// The value that identifies the workflow is too long to be an id.
    TooLong,
}

impl Correlation {
    /// Returns whether there were more links, messages or elements of an array than are read.
    pub(super) const fn is_cut(&self) -> bool {
        match self {
            Self::Of { is_cut, .. }
            | Self::Published { is_cut, .. }
            | Self::Received { is_cut, .. } => *is_cut,
            Self::Origin { .. } | Self::ReceivedByParent { .. } | Self::Absent | Self::TooLong => {
                false
            }
        }
    }

    /// Returns whether the workflow is identified by the trace, or by links from trace to trace.
    pub(super) fn is_by_trace(&self, span: &dyn SpanView) -> bool {
        match self {
            Self::Origin { .. } => true,
            Self::Of { identities, .. } => {
                let of_trace = trace_key(span.trace_id());
                identities.iter().any(|identity| identity.key == of_trace)
            }
            Self::Published { .. }
            | Self::Received { .. }
            | Self::ReceivedByParent { .. }
            | Self::Absent
            | Self::TooLong => false,
        }
    }

    /// Returns whether the identities came from links, so that a link that the sender dropped would
    /// have named further workflows. A single identity is treated as one on the span itself.
    pub(super) const fn is_of_links(&self) -> bool {
        match self {
            Self::Of { is_of_links, .. } => *is_of_links,
            Self::Origin { .. } | Self::Received { .. } | Self::ReceivedByParent { .. } => true,
            Self::Published { .. } | Self::Absent | Self::TooLong => false,
        }
    }
}

impl Identity {
    /// Identifies a span by itself. Trace and span id alone do not suffice: client and server share
    /// them in some systems, and so do retries in others (Zipkin-style clients, eBPF
    /// instrumentations).
    pub(super) fn of_span(span: &dyn SpanView) -> Self {
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        let key = hash(&[
            b"span",
            trace_id.as_bytes(),
            span_id.as_bytes(),
            &[span.kind() as u8],
            &span.start_unix_nano().to_be_bytes(),
        ]);
        Self {
            key,
            label: span_id.to_string(),
        }
    }

    fn of_trace(trace_id: TraceId) -> Self {
        Self {
            key: trace_key(trace_id),
            label: trace_id.to_string(),
        }
    }
}

impl From<Identity> for Correlation {
    fn from(identity: Identity) -> Self {
        Self::Of {
            identities: vec![identity],
            is_cut: false,
            is_of_links: false,
        }
    }
}

/// Applies the first correlator that is present.
pub(super) fn correlate(
    correlators: &[Correlator],
    role: Role,
    span: &dyn SpanView,
) -> Correlation {
    let found = correlators.iter().find_map(|correlator| match correlator {
        Correlator::Trace | Correlator::Links { .. } => Some(match followed_links(correlators) {
            Some((only, batch)) => Correlation::Origin {
                filter: LinkFilter::new(only),
                batch,
            },
            None => Identity::of_trace(span.trace_id()).into(),
        }),
        Correlator::TraceState { key } => by_trace_state(key, span),
        Correlator::Message { count, .. } if role == Role::Start => {
            Some(messages::published(count, span))
        }
        Correlator::Message { id, .. } => messages::received(id, span),
        Correlator::Attribute { attribute, run } => by_attribute(attribute, run.as_ref(), span),
    });
    found.unwrap_or(Correlation::Absent)
}

/// Returns the selector of the links that lead to a workflow's origin (`None` within means all
/// links), and what ends those of a batch; `None` if no correlator follows links.
pub(super) fn followed_links(correlators: &[Correlator]) -> Option<(Option<&Selector>, LinkBatch)> {
    correlators.iter().find_map(|correlator| match correlator {
        Correlator::Links { only, batch } => Some((only.as_ref(), *batch)),
        Correlator::Attribute { .. }
        | Correlator::Message { .. }
        | Correlator::TraceState { .. }
        | Correlator::Trace => None,
    })
}

/// Returns the first correlator that is present on a span in this role.
pub fn correlator_of<'c>(
    correlators: &'c [Correlator],
    role: Role,
    span: &dyn SpanView,
) -> Option<&'c Correlator> {
    correlators.iter().find(|one| {
        let found = correlate(std::slice::from_ref(one), role, span);
        !matches!(found, Correlation::Absent | Correlation::TooLong)
    })
}

/// Returns whether a correlator follows links from trace to trace.
pub fn follows_links(correlators: &[Correlator]) -> bool {
    followed_links(correlators).is_some()
}

fn by_trace_state(key: &str, span: &dyn SpanView) -> Option<Correlation> {
    let identity = |trace_state: &str| {
        let id = id(&Value::String(trace_state::value(trace_state, key)?.into()))?;
        let hashed = hash(&[b"tracestate", key.as_bytes(), id.as_bytes()]);
        Some(Read::of(hashed, id))
    };
    let mut own = FoundIdentities::default();
    own.add(identity(span.trace_state()));
    own.correlation(IdentitySource::Span).or_else(|| {
        on_links(span, &mut |link| {
            Vec::from_iter(identity(link.trace_state()))
        })
    })
}

fn by_attribute(
    attribute: &AttributeName,
    run: Option<&AttributeName>,
    span: &dyn SpanView,
) -> Option<Correlation> {
    let on_span = |name: &AttributeName| span.attribute(name.scope, &name.key);
    let identity = |value: String, run_value: Option<&str>| {
        let hashed = hash(&[
            b"attribute",
            attribute.key.as_bytes(),
            value.as_bytes(),
            run_value.unwrap_or_default().as_bytes(),
        ]);
        match run_value {
            Some(run) => Read::of(hashed, format!("{value} / {run}")),
            None => Read::of(hashed, value),
        }
    };
    // An array of several ids is evidence of each of their workflows.
    let identities = |ids: Vec<String>, find: &dyn Fn(&AttributeName) -> Option<String>| {
        if ids.is_empty() {
            return Vec::new();
        }
        let run_value = match run {
            None => None,
            Some(name) => match find(name) {
                Some(value) => Some(value),
                None => return Vec::new(),
            },
        };
        let read = ids.into_iter().map(|id| identity(id, run_value.as_deref()));
        read.collect()
    };
    let run_on_span = |name: &AttributeName| id(&on_span(name)?);
    let mut own = FoundIdentities::default();
    own.add(identities(texts(on_span(attribute).as_ref()), &run_on_span));
    own.correlation(IdentitySource::Span).or_else(|| {
        on_links(span, &mut |link| {
            let on_link = |name: &AttributeName| match name.scope {
                AttributeScope::Span | AttributeScope::Any => link.attribute(&name.key),
                AttributeScope::Resource | AttributeScope::Instrumentation => None,
            };
            identities(texts(on_link(attribute).as_ref()), &|name| {
                on_link(name)
                    .and_then(|value| id(&value))
                    .or_else(|| run_on_span(name))
            })
        })
    })
}

/// An id as it was read.
enum Read {
    Usable(Identity),
    TooLong,
}

impl Read {
    fn of(key: EventKey, label: String) -> Self {
        if label.len() > MAX_KEY {
            return Self::TooLong;
        }
        Self::Usable(Identity {
            key,
            label: label_of(label),
        })
    }
}

/// The ids of one span, each once.
#[derive(Default)]
struct FoundIdentities {
    by_key: BTreeMap<EventKey, Identity>,
    is_cut: bool,
    is_too_long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IdentitySource {
    Span,
    Links,
}

impl FoundIdentities {
    /// Adds the ids found in one source.
    fn add(&mut self, found: impl IntoIterator<Item = Read>) {
        for (at, read) in found.into_iter().enumerate() {
            match read {
                _ if at >= MAX_IDS => self.is_cut = true,
                Read::Usable(identity) if self.by_key.contains_key(&identity.key) => {}
                Read::Usable(_) if self.by_key.len() >= MAX_LINKS => self.is_cut = true,
                Read::Usable(identity) => {
                    self.by_key.insert(identity.key, identity);
                }
                Read::TooLong => self.is_too_long = true,
            }
        }
    }

    fn correlation(self, source: IdentitySource) -> Option<Correlation> {
        match (self.by_key.is_empty(), self.is_too_long) {
            (true, false) => None,
            (true, true) => Some(Correlation::TooLong),
            (false, _) => Some(Correlation::Of {
                // A single one is treated like one on the span itself.
                is_of_links: source == IdentitySource::Links && self.by_key.len() > 1,
                identities: self.by_key.into_values().collect(),
                is_cut: self.is_cut,
            }),
        }
    }
}

/// Reads a batch: every link with an id identifies one workflow.
fn on_links(
    span: &dyn SpanView,
    read: &mut dyn FnMut(&dyn LinkView) -> Vec<Read>,
) -> Option<Correlation> {
    let mut found = FoundIdentities::default();
    let mut looked_at = 0;
    span.any_link(&mut |link| {
        looked_at += 1;
        if looked_at > MAX_LINKS {
            found.is_cut = true;
            return true;
        }
        found.add(read(link));
        false
    });
    found.correlation(IdentitySource::Links)
}

/// Returns the attribute as an id, if it has one value.
pub(super) fn id_of(attribute: &AttributeName, span: &dyn SpanView) -> Option<String> {
    id(&span.attribute(attribute.scope, &attribute.key)?)
}

/// Returns a single value as an id. One that had to be repaired counts as absent: repaired alike,
/// different ids would join unrelated workflows.
pub(super) fn id(value: &Value<'_>) -> Option<String> {
    text(value).filter(|_| !matches!(value, Value::String(text) if text.contains('\u{fffd}')))
}

/// Returns each element of an array as an id, or the single value.
pub(super) fn texts(value: Option<&Value<'_>>) -> Vec<String> {
    let values = value.map(Value::elements).unwrap_or_default();
    values.iter().filter_map(id).collect()
}

/// Returns a single value as text. Empty text counts as absent, since it would join unrelated
/// workflows.
pub(super) fn text(value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Array(_) => return None,
    };
    // Postgres stores no NUL in text.
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    (!text.is_empty()).then_some(text)
}

pub(in crate::domain::workflow) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Returns the label of a workflow with this id; `…` marks that it was cut.
pub(super) fn label_of(id: String) -> String {
    if id.len() <= MAX_TEXT {
        return id;
    }
    format!("{}{CUT}", beginning_of_label(&id))
}

/// Returns what the labels of all ids begin with that begin with this text.
pub(in crate::domain::workflow) fn beginning_of_label(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_TEXT - CUT.len_utf8());
    text.get(..end).unwrap_or(text)
}

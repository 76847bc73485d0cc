//! Which workflows a span speaks of.

use std::collections::BTreeMap;

use super::{Role, messages};
use crate::domain::{
    model::{
        ids::TraceId,
        span::{AttributeName, AttributeScope, LinkView, SpanRef, SpanView, Value},
        trace_state,
    },
    slo::Correlator,
    traceql::Selector,
    workflow::{
        EventKey,
        evidence::hash,
        links::{LinkFilter, MAX_LINKS},
        trace_key,
    },
};

/// Labels and customers are cut to this many bytes, so that no row grows with what senders write.
const MAX_TEXT: usize = 256;
/// What is longer is no id: a payload stands in its place, and hashing it would hide that.
pub(super) const MAX_KEY: usize = 1_024;

/// Which workflow a span speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) key: EventKey,
    pub(super) label: String,
}

/// What the correlators make of a span.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Correlation {
    /// Of these, each once; `is_cut` if there were more than are looked at.
    Of {
        identities: Vec<Identity>,
        is_cut: bool,
    },
    /// Of the work that began in the trace that its links lead to.
    Origin(LinkFilter),
    /// Of messages that it published and that share its context.
    Published { messages: u32, is_cut: bool },
    /// Of messages that were published by these spans.
    Received {
        messages: BTreeMap<(SpanRef, EventKey), String>,
        is_cut: bool,
    },
    /// Of one message, whose parent published it or received it in a batch.
    ReceivedByParent {
        message: EventKey,
        filter: LinkFilter,
        label: String,
    },
    /// None of the correlators is present.
    Absent,
    /// What identifies the workflow is too long to be an id.
    TooLong,
}

impl Correlation {
    /// Whether there were more links or messages than are looked at.
    pub(super) const fn is_cut(&self) -> bool {
        match self {
            Self::Of { is_cut, .. }
            | Self::Published { is_cut, .. }
            | Self::Received { is_cut, .. } => *is_cut,
            Self::Origin(_) | Self::ReceivedByParent { .. } | Self::Absent | Self::TooLong => false,
        }
    }

    /// Whether the trace tells the workflow, or links from trace to trace.
    pub(super) fn is_by_trace(&self, span: &dyn SpanView) -> bool {
        match self {
            Self::Origin(_) => true,
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

    /// Whether links told it, so that one that the sender dropped would have told of more. A single
    /// identity is taken for one that stands on the span itself.
    pub(super) const fn is_of_links(&self) -> bool {
        match self {
            Self::Of { identities, .. } => identities.len() > 1,
            Self::Origin(_) | Self::Received { .. } | Self::ReceivedByParent { .. } => true,
            Self::Published { .. } | Self::Absent | Self::TooLong => false,
        }
    }
}

impl Identity {
    /// Trace and span id alone are not enough: client and server share them in some systems, and so
    /// do retries in others (Zipkin-style clients, eBPF instrumentations).
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
        }
    }
}

/// The first correlator that is present decides.
pub(super) fn correlate(
    correlators: &[Correlator],
    role: Role,
    span: &dyn SpanView,
) -> Correlation {
    let found = correlators.iter().find_map(|correlator| match correlator {
        Correlator::Trace | Correlator::Links { .. } => Some(match followed_links(correlators) {
            Some(only) => Correlation::Origin(LinkFilter::new(only)),
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

/// Which links carry the work on, if any do: the outer `None` is none of them, the inner one all.
#[expect(
    clippy::option_option,
    reason = "no links and any link are different, and neither has a selector"
)]
pub(super) fn followed_links(correlators: &[Correlator]) -> Option<Option<&Selector>> {
    correlators.iter().find_map(|correlator| match correlator {
        Correlator::Links { only } => Some(only.as_ref()),
        Correlator::Attribute { .. }
        | Correlator::Message { .. }
        | Correlator::TraceState { .. }
        | Correlator::Trace => None,
    })
}

/// Whether links carry a workflow on from trace to trace.
pub fn follows_links(correlators: &[Correlator]) -> bool {
    followed_links(correlators).is_some()
}

fn by_trace_state(key: &str, span: &dyn SpanView) -> Option<Correlation> {
    let identity = |trace_state: &str| {
        let id = text(Value::String(trace_state::value(trace_state, key)?))?;
        let hashed = hash(&[b"tracestate", key.as_bytes(), id.as_bytes()]);
        Some(Read::of(hashed, id))
    };
    match identity(span.trace_state()) {
        Some(read) => Some(read.into()),
        None => on_links(span, &mut |link| identity(link.trace_state())),
    }
}

fn by_attribute(
    attribute: &AttributeName,
    run: Option<&AttributeName>,
    span: &dyn SpanView,
) -> Option<Correlation> {
    let on_span = |name: &AttributeName| text(span.attribute(name.scope, &name.key)?);
    let identity = |value: String, run_value: Option<String>| {
        let hashed = hash(&[
            b"attribute",
            attribute.key.as_bytes(),
            value.as_bytes(),
            run_value.as_deref().unwrap_or_default().as_bytes(),
        ]);
        match run_value {
            Some(run) => Read::of(hashed, format!("{value} / {run}")),
            None => Read::of(hashed, value),
        }
    };
    let with_run = |value: String, find: &dyn Fn(&AttributeName) -> Option<String>| match run {
        None => Some(identity(value, None)),
        Some(name) => Some(identity(value, Some(find(name)?))),
    };
    if let Some(read) = on_span(attribute).and_then(|value| with_run(value, &on_span)) {
        return Some(read.into());
    }
    on_links(span, &mut |link| {
        let on_link = |name: &AttributeName| match name.scope {
            AttributeScope::Span | AttributeScope::Any => text(link.attribute(&name.key)?),
            AttributeScope::Resource | AttributeScope::Instrumentation => None,
        };
        with_run(on_link(attribute)?, &|name| {
            on_link(name).or_else(|| on_span(name))
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
            label: cut(label),
        })
    }
}

impl From<Read> for Correlation {
    fn from(read: Read) -> Self {
        match read {
            Read::Usable(identity) => identity.into(),
            Read::TooLong => Self::TooLong,
        }
    }
}

/// A batch: every link that identifies a workflow speaks of one.
fn on_links(
    span: &dyn SpanView,
    read: &mut dyn FnMut(&dyn LinkView) -> Option<Read>,
) -> Option<Correlation> {
    let mut found = BTreeMap::new();
    let (mut looked_at, mut is_cut, mut is_too_long) = (0, false, false);
    span.any_link(&mut |link| {
        looked_at += 1;
        is_cut = looked_at > MAX_LINKS;
        if !is_cut {
            match read(link) {
                Some(Read::Usable(identity)) => {
                    found.insert(identity.key, identity);
                }
                Some(Read::TooLong) => is_too_long = true,
                None => {}
            }
        }
        is_cut
    });
    match (found.is_empty(), is_too_long) {
        (true, false) => None,
        (true, true) => Some(Correlation::TooLong),
        (false, _) => Some(Correlation::Of {
            identities: found.into_values().collect(),
            is_cut,
        }),
    }
}

/// The attribute as text; empty text and what has no text count as absent, since they would join
/// strangers.
pub(super) fn text_of(attribute: &AttributeName, span: &dyn SpanView) -> Option<String> {
    text(span.attribute(attribute.scope, &attribute.key)?)
}

pub(super) fn text(value: Value<'_>) -> Option<String> {
    let text = match value {
        Value::String(text) => text.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Other => return None,
    };
    // Postgres keeps no NUL in text.
    let text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    (!text.is_empty()).then_some(text)
}

pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

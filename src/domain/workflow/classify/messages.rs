//! Messages that were published together and share one context.

use std::collections::BTreeMap;

use super::correlate::{Correlation, MAX_KEY, cut, text};
use crate::domain::{
    model::span::{AttributeName, AttributeScope, LinkView, SpanRef, SpanView, Value},
    workflow::{EventKey, batch::MAX_MESSAGES, evidence::hash, links::MAX_LINKS},
};

/// One that does not say how many it published has published one.
pub(super) fn published(count: &AttributeName, span: &dyn SpanView) -> Correlation {
    let count = match span.attribute(count.scope, &count.key) {
        Some(Value::Int(count)) => count,
        Some(Value::String(text)) => text.parse().unwrap_or(1),
        _ => 1,
    };
    let messages = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    Correlation::Published {
        messages: messages.min(MAX_MESSAGES),
        is_cut: messages > MAX_MESSAGES,
    }
}

/// The id stands on each link of a batch, or on a span that handles one message; who published it is
/// linked to, or is the parent of a span without links.
pub(super) fn received(id: &AttributeName, span: &dyn SpanView) -> Option<Correlation> {
    let own = span.attribute(id.scope, &id.key).and_then(text);
    let (mut messages, mut looked_at, mut is_cut) = (BTreeMap::new(), 0, false);
    let mut is_too_long = false;
    let mut add = |context, id: String| {
        if id.len() > MAX_KEY {
            is_too_long = true;
        } else {
            messages.insert((context, key(&id)), cut(id));
        }
    };
    span.any_link(&mut |link| {
        looked_at += 1;
        is_cut = looked_at > MAX_LINKS;
        let id = on_link(id, link).or_else(|| own.clone());
        if let (false, Some(context), Some(id)) = (is_cut, target(link), id) {
            add(context, id);
        }
        is_cut
    });
    if let (0, Some(span_id), Some(id)) = (looked_at, span.parent_span_id(), own) {
        let trace_id = span.trace_id();
        add(SpanRef { trace_id, span_id }, id);
    }
    match (messages.is_empty(), is_too_long) {
        (true, false) => None,
        (true, true) => Some(Correlation::TooLong),
        (false, _) => Some(Correlation::Received { messages, is_cut }),
    }
}

fn on_link(id: &AttributeName, link: &dyn LinkView) -> Option<String> {
    match id.scope {
        AttributeScope::Span | AttributeScope::Any => text(link.attribute(&id.key)?),
        AttributeScope::Resource | AttributeScope::Instrumentation => None,
    }
}

fn target(link: &dyn LinkView) -> Option<SpanRef> {
    Some(SpanRef {
        trace_id: link.trace_id()?,
        span_id: link.span_id()?,
    })
}

fn key(id: &str) -> EventKey {
    hash(&[b"message id", id.as_bytes()])
}

//! Messages that were published together and share one context.

use std::collections::BTreeMap;

use super::{Correlation, MAX_KEY, id, label_of};
use crate::domain::{
    model::span::{AttributeName, AttributeScope, LinkView, SpanRef, SpanView, Value},
    workflow::{
        EventKey,
        batch::MAX_MESSAGES,
        evidence::hash,
        links::{LinkFilter, MAX_LINKS},
    },
};

/// The attribute for the number of messages of a span in OpenTelemetry's conventions.
const MESSAGE_COUNT: &str = "messaging.batch.message_count";

/// Returns the number of messages of a span; 1 if it has none.
pub(in crate::domain::workflow::classify) fn message_count(span: &dyn SpanView) -> u32 {
    number(span.attribute(AttributeScope::Span, MESSAGE_COUNT))
}

fn number(value: Option<Value<'_>>) -> u32 {
    let count = match value {
        Some(Value::Int(count)) => count,
        Some(Value::String(text)) => text.parse().unwrap_or(1),
        _ => 1,
    };
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// Reads a publication. A span without a count has published one message.
pub(super) fn published(count: &AttributeName, span: &dyn SpanView) -> Correlation {
    let messages = number(span.attribute(count.scope, &count.key));
    Correlation::Published {
        messages: messages.min(MAX_MESSAGES),
        is_cut: messages > MAX_MESSAGES,
    }
}

/// Reads a message that was received. Its id is on each link of a batch, or on a span that handles
/// one message; its publisher is linked, or is the parent of a span without links. That parent may
/// also have received a batch: then its link with the same id leads to the publisher.
pub(super) fn received(attribute: &AttributeName, span: &dyn SpanView) -> Option<Correlation> {
    let own = span
        .attribute(attribute.scope, &attribute.key)
        .and_then(|value| id(&value));
    let (mut messages, mut looked_at, mut is_cut) = (BTreeMap::new(), 0, false);
    let mut is_too_long = false;
    let mut add = |context, id: String| {
        if id.len() > MAX_KEY {
            is_too_long = true;
        } else {
            messages.insert((context, key(&id)), label_of(id));
        }
    };
    span.any_link(&mut |link| {
        looked_at += 1;
        is_cut = looked_at > MAX_LINKS;
        let id = id_on_link(attribute, link).or_else(|| own.clone());
        if let (false, Some(context), Some(id)) = (is_cut, target(link), id) {
            add(context, id);
        }
        is_cut
    });
    if let (0, Some(_), Some(id)) = (looked_at, span.parent_span_id(), own) {
        if id.len() > MAX_KEY {
            return Some(Correlation::TooLong);
        }
        let message = key(&id);
        return Some(Correlation::ReceivedByParent {
            message,
            filter: LinkFilter::of_message(attribute, message),
            label: label_of(id),
        });
    }
    match (messages.is_empty(), is_too_long) {
        (true, false) => None,
        (true, true) => Some(Correlation::TooLong),
        (false, _) => Some(Correlation::Received { messages, is_cut }),
    }
}

/// Returns the id of the link's message, and the span whose context it carries.
pub(in crate::domain::workflow::classify) fn on_link(
    attribute: &AttributeName,
    link: &dyn LinkView,
) -> Option<(EventKey, SpanRef)> {
    let id = id_on_link(attribute, link).filter(|id| id.len() <= MAX_KEY)?;
    Some((key(&id), target(link)?))
}

fn id_on_link(attribute: &AttributeName, link: &dyn LinkView) -> Option<String> {
    match attribute.scope {
        AttributeScope::Span | AttributeScope::Any => id(&link.attribute(&attribute.key)?),
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

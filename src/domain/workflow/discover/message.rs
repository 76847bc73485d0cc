//! The role of a span for a message, and the kind of its step.

use crate::domain::{
    model::span::{AttributeName, AttributeScope, SpanKind, SpanView, Value},
    traceql::{kind_word, quoted_attribute, quoted_text},
    workflow::shapes::StoredSpan,
};

/// The role of a span for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MessageRole {
    Send,
    /// Receives messages from the broker; another span may process each.
    Receive,
    Process,
}

/// The common properties of similar spans, by which a selector finds them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StepKey {
    pub(super) service: String,
    pub(super) role: Option<MessageRole>,
    kind: &'static str,
    /// Empty if the destination is sufficient.
    name: String,
    /// The attribute that names the queue, and its value.
    destination: Option<(&'static str, String)>,
    /// The attribute that distinguishes processing from receiving, and its value.
    operation: Option<(&'static str, String)>,
}

const DESTINATIONS: [&str; 3] = [
    "messaging.destination.template",
    "messaging.destination.name",
    "messaging.destination",
];
const OPERATIONS: [&str; 3] = [
    "messaging.operation.type",
    "messaging.operation",
    "messaging.operation.name",
];

impl MessageRole {
    /// Returns the role of a span; `None` if it concerns no message, or only settles one.
    pub(super) fn of(span: &dyn SpanView) -> Option<Self> {
        let operation = text_of_any(span, &OPERATIONS);
        let operation = operation.as_ref().map(|(_, word)| word.as_str());
        match (span.kind(), operation) {
            (SpanKind::Producer, _) | (SpanKind::Client, Some("send" | "publish" | "create")) => {
                Some(Self::Send)
            }
            (SpanKind::Consumer | SpanKind::Client, Some("receive" | "poll")) => {
                Some(Self::Receive)
            }
            (SpanKind::Consumer, operation) => {
                let settles = matches!(operation, Some("settle" | "ack" | "nack"));
                (!settles).then_some(Self::Process)
            }
            (
                SpanKind::Client | SpanKind::Unspecified | SpanKind::Internal | SpanKind::Server,
                _,
            ) => None,
        }
    }
}

/// Returns the first of these attributes that is not empty.
fn text_of_any<'k>(span: &dyn SpanView, keys: &[&'k str]) -> Option<(&'k str, String)> {
    keys.iter().find_map(|key| {
        let Value::String(text) = span.attribute(AttributeScope::Span, key)? else {
            return None;
        };
        (!text.is_empty()).then(|| (*key, text.into_owned()))
    })
}

/// Returns the queue or topic of a message.
pub(super) fn destination_of(span: &dyn SpanView) -> Option<String> {
    text_of_any(span, &DESTINATIONS).map(|(_, name)| name)
}

impl StepKey {
    pub(super) fn of(stored: &StoredSpan) -> Self {
        let span = stored.span();
        let role = MessageRole::of(span);
        let destination = role.and_then(|_| text_of_any(span, &DESTINATIONS));
        let operation = role.and_then(|_| text_of_any(span, &OPERATIONS));
        Self {
            service: stored.service(),
            role,
            kind: kind_word(span.kind()),
            name: match &destination {
                Some(_) => String::new(),
                None => span.name().to_owned(),
            },
            destination,
            // Senders are distinguished by their span kind.
            operation: operation.filter(|_| role != Some(MessageRole::Send)),
        }
    }

    /// Returns the queue, or else the name of the spans.
    pub(super) fn label(&self) -> &str {
        match &self.destination {
            Some((_, name)) => name,
            None => &self.name,
        }
    }

    pub(super) fn queue(&self) -> Option<&str> {
        self.destination.as_ref().map(|(_, name)| name.as_str())
    }

    /// Returns the conditions of a selector of these spans, joined with `&&`.
    pub(super) fn conditions(&self) -> String {
        let mut conditions = vec![format!("kind = {}", self.kind)];
        if !self.name.is_empty() {
            conditions.insert(0, format!("name = {}", quoted_text(&self.name)));
        }
        let attributes = [&self.destination, &self.operation];
        for (key, value) in attributes.into_iter().flatten() {
            let name = span_attribute(key);
            conditions.push(equality(&name, value));
        }
        if !self.service.is_empty() {
            let service = AttributeName {
                scope: AttributeScope::Resource,
                key: "service.name".to_owned(),
            };
            conditions.push(equality(&service, &self.service));
        }
        conditions.join(" && ")
    }
}

pub(super) fn span_attribute(key: &str) -> AttributeName {
    AttributeName {
        scope: AttributeScope::Span,
        key: key.to_owned(),
    }
}

pub(super) fn equality(name: &AttributeName, value: &str) -> String {
    format!("{} = {}", quoted_attribute(name), quoted_text(value))
}

//! One span of the sample: a copy without values that must not be stored.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use crate::domain::{
    model::{
        span::{
            AttributeScope, Event, Instrumentation, Link, OwnedValue, Span, SpanAttributes,
            SpanRef, SpanView, Value,
        },
        text::plain,
    },
    slo::HiddenAttributes,
    traceql::{FieldSource, kind_word},
};

/// The limit of attributes of a span, of its resource, of events and of links that are stored.
const MAX_ATTRIBUTES: usize = 64;
const MAX_CHARS: usize = 128;
const MAX_ELEMENTS: usize = 8;
/// The attributes of events and of links that are stored.
const EXCEPTION: &str = "exception.type";
const MESSAGE_ID: &str = "messaging.message.id";
/// The value of an attribute whose values are never stored.
const HIDDEN: &str = "(hidden)";

/// The size of an attribute, a link or an event in addition to its text.
const ENTRY: usize = 64;

/// A copy of a span, bounded in size.
#[derive(Clone, Debug)]
pub struct StoredSpan(Span);

impl StoredSpan {
    pub fn copy(span: &dyn SpanView, hidden: &HiddenAttributes) -> Self {
        let (mut own, mut resource) = (SpanAttributes::new(), SpanAttributes::new());
        span.each_attribute(&mut |scope, key, value| {
            let attributes = if scope == AttributeScope::Resource {
                &mut resource
            } else {
                &mut own
            };
            if attributes.len() < MAX_ATTRIBUTES {
                attributes.push((plain(key, MAX_CHARS), shown(key, &value, hidden)));
            }
        });
        Self(Span {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
            parent_span_id: span.parent_span_id(),
            name: plain(span.name(), MAX_CHARS),
            kind: span.kind(),
            status: span.status(),
            status_message: plain(span.status_message(), MAX_CHARS),
            start_unix_nano: span.start_unix_nano(),
            end_unix_nano: span.end_unix_nano(),
            trace_state: plain(span.trace_state(), 512),
            dropped_links_count: span.dropped_links_count(),
            flags: 0,
            attributes: own,
            resource: Arc::new(resource),
            instrumentation: Arc::new(Instrumentation {
                name: plain(span.instrumentation_name(), MAX_CHARS),
                version: plain(span.instrumentation_version(), MAX_CHARS),
                attributes: SpanAttributes::new(),
            }),
            events: events(span),
            links: links(span),
        })
    }

    pub const fn span(&self) -> &Span {
        &self.0
    }

    pub fn id(&self) -> SpanRef {
        SpanRef::of(&self.0)
    }

    /// Formats `` `order.ship` of warehouse (consumer) ``.
    pub(super) fn in_words(&self) -> String {
        let service = match self.service() {
            unnamed if unnamed.is_empty() => "a service without a name".to_owned(),
            name => name,
        };
        let name = self.0.name.replace('`', "'");
        format!("`{name}` of {service} ({})", kind_word(self.0.kind))
    }

    /// Returns the approximate memory size of the copy.
    pub(super) fn bytes(&self) -> usize {
        let own = [&self.0.attributes, &*self.0.resource];
        let attributes = own.into_iter().flatten();
        let attributes = attributes.map(|(key, value)| ENTRY + key.len() + value_bytes(value));
        let links = self
            .0
            .links
            .iter()
            .map(|link| ENTRY + link.trace_state.len());
        let events = self.0.events.iter().map(|event| ENTRY + event.name.len());
        size_of::<Span>() + self.0.name.len() + attributes.chain(links).chain(events).sum::<usize>()
    }

    /// Returns the value of an attribute of the span itself as text, if it is a stored string or
    /// number.
    pub fn text_of(&self, key: &str) -> Option<String> {
        match self.0.attribute(AttributeScope::Span, key)? {
            Value::String(text) if text != HIDDEN => Some(text.into_owned()),
            Value::Int(number) => Some(number.to_string()),
            Value::String(_) | Value::Bool(_) | Value::Double(_) | Value::Array(_) => None,
        }
    }

    /// Returns the keys of the span's own attributes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.attributes.iter().map(|(key, _)| key.as_str())
    }

    /// Returns the name of its service; empty if it has none.
    pub fn service(&self) -> String {
        match self.0.attribute(AttributeScope::Resource, "service.name") {
            Some(Value::String(name)) => name.into_owned(),
            _ => String::new(),
        }
    }

    /// Returns a hash of the attributes' keys and types.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut keys = BTreeSet::new();
        self.0.each_attribute(&mut |scope, key, value| {
            keys.insert((scope, key.to_owned(), type_number(&value)));
        });
        let mut hasher = DefaultHasher::new();
        keys.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns whether the value of this attribute is not stored.
    pub(super) fn is_unknown(&self, source: FieldSource, key: &str) -> bool {
        match source {
            FieldSource::Span => self.hides(key),
            FieldSource::Event => key != EXCEPTION,
            FieldSource::Link => key != MESSAGE_ID,
        }
    }

    fn hides(&self, key: &str) -> bool {
        let is_hidden = |attributes: &SpanAttributes| {
            let mut named = attributes.iter().filter(|(known, _)| known == key);
            named.any(|(_, value)| *value == OwnedValue::from(HIDDEN))
        };
        is_hidden(&self.0.attributes) || is_hidden(&self.0.resource)
    }
}

fn value_bytes(value: &OwnedValue) -> usize {
    match value {
        OwnedValue::String(text) => text.len(),
        OwnedValue::Array(elements) => elements.iter().map(|one| ENTRY + value_bytes(one)).sum(),
        OwnedValue::Bool(_) | OwnedValue::Int(_) | OwnedValue::Double(_) | OwnedValue::Other => 0,
    }
}

const fn type_number(value: &Value<'_>) -> u8 {
    match value {
        Value::String(_) => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Double(_) => 3,
        Value::Array(_) => 4,
    }
}

fn shown(key: &str, value: &Value<'_>, hidden: &HiddenAttributes) -> OwnedValue {
    if hidden.hide(key) {
        HIDDEN.into()
    } else {
        stored(value)
    }
}

fn stored(value: &Value<'_>) -> OwnedValue {
    match value {
        Value::String(text) => OwnedValue::String(plain(text, MAX_CHARS)),
        Value::Bool(value) => OwnedValue::Bool(*value),
        Value::Int(value) => OwnedValue::Int(*value),
        Value::Double(value) => OwnedValue::Double(*value),
        Value::Array(elements) => {
            OwnedValue::Array(elements.iter().take(MAX_ELEMENTS).map(stored).collect())
        }
    }
}

/// Returns the stored parts of events, whose attributes can only be read by name.
fn events(span: &dyn SpanView) -> Vec<Event> {
    let mut events = Vec::new();
    span.any_event(&mut |event| {
        events.push(Event {
            name: plain(event.name(), MAX_CHARS),
            time_unix_nano: event.time_unix_nano(),
            attributes: attributes_of(EXCEPTION, event.attribute(EXCEPTION)),
        });
        events.len() >= MAX_ELEMENTS
    });
    events
}

fn attributes_of(key: &str, value: Option<Value<'_>>) -> SpanAttributes {
    let value = value.map(|value| (key.to_owned(), stored(&value)));
    value.into_iter().collect()
}

fn links(span: &dyn SpanView) -> Vec<Link> {
    let mut links = Vec::new();
    span.any_link(&mut |link| {
        links.push(Link {
            trace_id: link.trace_id(),
            span_id: link.span_id(),
            trace_state: plain(link.trace_state(), 512),
            attributes: attributes_of(MESSAGE_ID, link.attribute(MESSAGE_ID)),
        });
        links.len() >= MAX_ELEMENTS
    });
    links
}

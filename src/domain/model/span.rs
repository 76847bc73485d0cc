//! The data of a span that selectors and workflows read, and a span that owns its data.
//!
//! The wire format is scanned in place and a span becomes a value only when some SLO selects it, so
//! access to it is a trait. It has two implementations: the scan of a protobuf body
//! (`ingest/wire/mod.rs`) and [`Span`], which the JSON decoder and the tests use.

use std::fmt;

use super::ids::{SpanId, TraceId};
pub use super::value::{OwnedValue, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SpanStatus {
    #[default]
    Unset,
    Ok,
    Error,
}

/// The scope in which an attribute is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeScope {
    Span,
    Resource,
    /// The span first, then its resource, then its scope: `.name` in TraceQL.
    Any,
    Instrumentation,
}

/// The flag of a trace whose id is random (W3C Trace Context, level 2).
pub const RANDOM_TRACE_ID: u32 = 0x02;

/// A span as selectors, correlators and verdicts see it. Every method is cheap or computes on
/// demand; of duplicate attribute keys the last one counts.
pub trait SpanView {
    fn trace_id(&self) -> TraceId;
    fn span_id(&self) -> SpanId;
    fn parent_span_id(&self) -> Option<SpanId>;
    fn name(&self) -> &str;
    fn kind(&self) -> SpanKind;
    fn status(&self) -> SpanStatus;
    fn status_message(&self) -> &str;
    fn start_unix_nano(&self) -> u64;
    fn end_unix_nano(&self) -> u64;
    fn trace_state(&self) -> &str;
    /// Returns how many links the sender dropped for lack of space.
    fn dropped_links_count(&self) -> u32;
    /// Returns whether the sender flags the last seven bytes of the trace id as random (W3C Trace
    /// Context, level 2).
    fn has_random_trace_id(&self) -> bool;
    fn instrumentation_name(&self) -> &str;
    fn instrumentation_version(&self) -> &str;
    /// Returns the value; `None` if the attribute is missing or has no value.
    fn attribute(&self, scope: AttributeScope, key: &str) -> Option<Value<'_>>;
    /// Calls `each` with the keys of attributes of any scope, as bytes. Attributes that are not
    /// asked of every span ([`KeyFilter`](crate::domain::traceql::KeyFilter)) may be left out. A
    /// key may occur more than once, and its attribute may have no value.
    fn each_asked_key(&self, each: &mut dyn FnMut(&[u8]));
    /// Calls `each` with all attributes of the span and of its resource that have a value.
    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>));
    /// Returns whether `test` is true for at least one event.
    fn any_event(&self, test: &mut dyn FnMut(&dyn EventView) -> bool) -> bool;
    /// Returns whether `test` is true for at least one link.
    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool;
}

pub trait EventView {
    fn name(&self) -> &str;
    fn time_unix_nano(&self) -> u64;
    fn attribute(&self, key: &str) -> Option<Value<'_>>;
}

pub trait LinkView {
    /// Returns the trace id; `None` if the sender wrote no valid one.
    fn trace_id(&self) -> Option<TraceId>;
    fn span_id(&self) -> Option<SpanId>;
    fn trace_state(&self) -> &str;
    fn attribute(&self, key: &str) -> Option<Value<'_>>;
}

pub type SpanAttributes = Vec<(String, OwnedValue)>;

fn look_up<'a>(attributes: &'a SpanAttributes, key: &str) -> Option<Value<'a>> {
    attributes
        .iter()
        .rev()
        .find(|(name, _)| name == key)
        .and_then(|(_, value)| value.as_value())
}

/// A span that owns its data.
#[expect(clippy::struct_field_names, reason = "`span_id` is what OTLP calls it")]
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub name: String,
    pub kind: SpanKind,
    pub status: SpanStatus,
    pub status_message: String,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    pub trace_state: String,
    pub dropped_links_count: u32,
    /// As in OTLP: the lowest eight bits are the flags of the trace.
    pub flags: u32,
    pub attributes: SpanAttributes,
    pub resource: std::sync::Arc<SpanAttributes>,
    pub instrumentation: std::sync::Arc<Instrumentation>,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instrumentation {
    pub name: String,
    pub version: String,
    pub attributes: SpanAttributes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub time_unix_nano: u64,
    pub attributes: SpanAttributes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub trace_state: String,
    pub attributes: SpanAttributes,
}

impl SpanView for Span {
    fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    fn span_id(&self) -> SpanId {
        self.span_id
    }

    fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> SpanKind {
        self.kind
    }

    fn status(&self) -> SpanStatus {
        self.status
    }

    fn status_message(&self) -> &str {
        &self.status_message
    }

    fn start_unix_nano(&self) -> u64 {
        self.start_unix_nano
    }

    fn end_unix_nano(&self) -> u64 {
        self.end_unix_nano
    }

    fn trace_state(&self) -> &str {
        &self.trace_state
    }

    fn dropped_links_count(&self) -> u32 {
        self.dropped_links_count
    }

    fn has_random_trace_id(&self) -> bool {
        self.flags & RANDOM_TRACE_ID != 0
    }

    fn instrumentation_name(&self) -> &str {
        &self.instrumentation.name
    }

    fn instrumentation_version(&self) -> &str {
        &self.instrumentation.version
    }

    fn attribute(&self, scope: AttributeScope, key: &str) -> Option<Value<'_>> {
        match scope {
            AttributeScope::Span => look_up(&self.attributes, key),
            AttributeScope::Resource => look_up(&self.resource, key),
            AttributeScope::Any => look_up(&self.attributes, key)
                .or_else(|| look_up(&self.resource, key))
                .or_else(|| look_up(&self.instrumentation.attributes, key)),
            AttributeScope::Instrumentation => look_up(&self.instrumentation.attributes, key),
        }
    }

    fn each_asked_key(&self, each: &mut dyn FnMut(&[u8])) {
        let own = [
            &self.attributes,
            &*self.resource,
            &self.instrumentation.attributes,
        ];
        for (key, _) in own.into_iter().flatten() {
            each(key.as_bytes());
        }
    }

    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>)) {
        let own = self.attributes.iter();
        let own = own.map(|(key, value)| (AttributeScope::Span, key, value));
        let of_resource = self.resource.iter();
        let of_resource = of_resource.map(|(key, value)| (AttributeScope::Resource, key, value));
        for (scope, key, value) in own.chain(of_resource) {
            if let Some(value) = value.as_value() {
                each(scope, key, value);
            }
        }
    }

    fn any_event(&self, test: &mut dyn FnMut(&dyn EventView) -> bool) -> bool {
        self.events.iter().any(|event| test(event))
    }

    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool {
        self.links.iter().any(|link| test(link))
    }
}

impl EventView for Event {
    fn name(&self) -> &str {
        &self.name
    }

    fn time_unix_nano(&self) -> u64 {
        self.time_unix_nano
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key)
    }
}

impl LinkView for Link {
    fn trace_id(&self) -> Option<TraceId> {
        self.trace_id
    }

    fn span_id(&self) -> Option<SpanId> {
        self.span_id
    }

    fn trace_state(&self) -> &str {
        &self.trace_state
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key)
    }
}
/// A scoped attribute as TraceQL writes it: `span.order.id`, `resource.x`, `.x`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName {
    pub scope: AttributeScope,
    pub key: String,
}

/// Keys are not quoted: the text is for people and for distinguishing names, not for a parser.
impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            AttributeScope::Span => "span",
            AttributeScope::Resource => "resource",
            AttributeScope::Any => "",
            AttributeScope::Instrumentation => "instrumentation",
        };
        write!(f, "{scope}.{}", self.key)
    }
}

/// A reference to a span, received or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanRef {
    pub trace_id: TraceId,
    pub span_id: SpanId,
}

impl SpanRef {
    pub fn of(span: &dyn SpanView) -> Self {
        Self {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
        }
    }
}

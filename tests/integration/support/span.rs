//! Spans of tests, written once: as the domain has them, and as OTLP sends them.
//!
//! `span("orders publish").producer().trace(1).at(0.2).lasting(1.0).attribute("order.id", "o1")` is a
//! description; [`SpanBuilder::build`] and [`request`] make a span of it. Times are seconds after a
//! common zero, which is given only then, so that one description serves a driven clock and a real one.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as WireSpan, Status,
        span::{Event as WireEvent, Link as WireLink},
    },
};
use prost::Message as _;
use throughline::domain::model::{
    ids::{SpanId, TraceId},
    span::{Event, Link, OwnedValue, Span, SpanKind, SpanStatus},
    time::Timestamp,
};

/// What a sender may write as the value of an attribute.
#[derive(Clone, Debug)]
pub(crate) enum AttributeValue {
    Text(String),
    /// Meant as text, but not UTF-8.
    Bytes(Vec<u8>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Self>),
}

type AttributePairs = Vec<(String, AttributeValue)>;

#[derive(Clone, Debug)]
struct LinkBuilder {
    to: (TraceId, SpanId),
    trace_state: String,
    attributes: AttributePairs,
}

/// A span that is not tied to a point in time yet.
#[derive(Clone, Debug)]
pub(crate) struct SpanBuilder {
    name: String,
    kind: SpanKind,
    status: SpanStatus,
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    from: f64,
    to: f64,
    start_unix_nano: Option<u64>,
    trace_state: String,
    dropped_links: u32,
    attributes: AttributePairs,
    resource: AttributePairs,
    events: Vec<(String, AttributePairs)>,
    links: Vec<LinkBuilder>,
}

/// Of trace 1, internal, of no length. Spans of one trace get their ids from their names unless
/// [`SpanBuilder::id`] numbers them.
pub(crate) fn span(name: &str) -> SpanBuilder {
    SpanBuilder {
        name: name.to_owned(),
        kind: SpanKind::Internal,
        status: SpanStatus::Unset,
        trace: trace_id(1),
        id: id_of(name),
        parent: None,
        from: 0.0,
        to: 0.0,
        start_unix_nano: None,
        trace_state: String::new(),
        dropped_links: 0,
        attributes: Vec::new(),
        resource: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

pub(crate) fn trace_id(number: u64) -> TraceId {
    let bytes = (7 << 120) | u128::from(number);
    TraceId::from_slice(&bytes.to_be_bytes()).unwrap()
}

pub(crate) fn span_id(number: u64) -> SpanId {
    SpanId::from_slice(&((7 << 56) | number).to_be_bytes()).unwrap()
}

/// Always the same for the same name (FNV-1a).
fn id_of(name: &str) -> SpanId {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SpanId::from_slice(&hash.to_be_bytes()).unwrap()
}

impl SpanBuilder {
    pub(crate) fn kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn producer(self) -> Self {
        self.kind(SpanKind::Producer)
    }

    pub(crate) fn consumer(self) -> Self {
        self.kind(SpanKind::Consumer)
    }

    pub(crate) fn error(self) -> Self {
        let status = SpanStatus::Error;
        Self { status, ..self }
    }

    pub(crate) fn trace(self, number: u64) -> Self {
        self.trace_of(trace_id(number).as_bytes())
    }

    /// Where the bytes of the id matter, or chance makes them.
    pub(crate) fn trace_of(self, bytes: &[u8; 16]) -> Self {
        let trace = TraceId::from_slice(bytes).unwrap();
        Self { trace, ..self }
    }

    pub(crate) fn id(self, number: u64) -> Self {
        let id = span_id(number);
        Self { id, ..self }
    }

    /// A child of the span with this number in the same trace.
    pub(crate) fn child_of(self, number: u64) -> Self {
        let parent = Some(span_id(number));
        Self { parent, ..self }
    }

    /// A child of `parent`, in its trace.
    pub(crate) fn below(self, parent: &Self) -> Self {
        Self {
            trace: parent.trace,
            parent: Some(parent.id),
            ..self
        }
    }

    /// When it begins, and for now also ends.
    pub(crate) fn at(self, secs: f64) -> Self {
        self.between(secs, secs)
    }

    pub(crate) fn lasting(self, secs: f64) -> Self {
        let (from, to) = (self.from, self.from + secs);
        self.between(from, to)
    }

    pub(crate) fn between(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Begins at this point in time, whatever the zero.
    pub(crate) fn start_unix_nano(self, nanos: u64) -> Self {
        let start_unix_nano = Some(nanos);
        Self {
            start_unix_nano,
            ..self
        }
    }

    pub(crate) fn trace_state(self, text: &str) -> Self {
        let trace_state = text.to_owned();
        Self {
            trace_state,
            ..self
        }
    }

    pub(crate) fn attribute(mut self, key: &str, value: impl Into<AttributeValue>) -> Self {
        self.attributes.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn resource(mut self, key: &str, value: impl Into<AttributeValue>) -> Self {
        self.resource.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn service(self, name: &str) -> Self {
        self.resource("service.name", name)
    }

    pub(crate) fn event(mut self, name: &str, key: &str, value: impl Into<AttributeValue>) -> Self {
        let attributes = vec![(key.to_owned(), value.into())];
        self.events.push((name.to_owned(), attributes));
        self
    }

    /// Links to the span with this number of the trace with that one.
    pub(crate) fn link_to(self, trace: u64, number: u64) -> Self {
        self.link((trace_id(trace), span_id(number)))
    }

    /// Links to what is described there.
    pub(crate) fn after(self, earlier: &Self) -> Self {
        self.link((earlier.trace, earlier.id))
    }

    fn link(mut self, to: (TraceId, SpanId)) -> Self {
        self.links.push(LinkBuilder {
            to,
            trace_state: String::new(),
            attributes: Vec::new(),
        });
        self
    }

    /// An attribute of the link that was added last.
    pub(crate) fn link_attribute(mut self, key: &str, value: impl Into<AttributeValue>) -> Self {
        let link = self.links.last_mut().expect("a link was added");
        link.attributes.push((key.to_owned(), value.into()));
        self
    }

    /// The trace state of the link that was added last.
    pub(crate) fn link_state(mut self, text: &str) -> Self {
        let link = self.links.last_mut().expect("a link was added");
        text.clone_into(&mut link.trace_state);
        self
    }

    /// Links that its sender had no room for.
    pub(crate) fn dropped_links(self, count: u32) -> Self {
        let dropped_links = count;
        Self {
            dropped_links,
            ..self
        }
    }

    fn nanos(&self, zero: Timestamp) -> (u64, u64) {
        let start = self.start_unix_nano;
        let start = start.unwrap_or_else(|| nanos_after(zero, self.from));
        (start, nanos_after(zero, self.to))
    }

    /// As the domain has it.
    pub(crate) fn build(&self, zero: Timestamp) -> Span {
        let (start_unix_nano, end_unix_nano) = self.nanos(zero);
        let event = |(name, attributes): &(String, AttributePairs)| Event {
            name: name.clone(),
            time_unix_nano: start_unix_nano,
            attributes: owned(attributes),
        };
        let link = |link: &LinkBuilder| Link {
            trace_id: Some(link.to.0),
            span_id: Some(link.to.1),
            trace_state: link.trace_state.clone(),
            attributes: owned(&link.attributes),
        };
        Span {
            trace_id: self.trace,
            span_id: self.id,
            parent_span_id: self.parent,
            name: self.name.clone(),
            kind: self.kind,
            status: self.status,
            status_message: String::new(),
            start_unix_nano,
            end_unix_nano,
            trace_state: self.trace_state.clone(),
            dropped_links_count: self.dropped_links,
            flags: 0,
            attributes: owned(&self.attributes),
            resource: Arc::new(owned(&self.resource)),
            instrumentation: Arc::default(),
            events: self.events.iter().map(event).collect(),
            links: self.links.iter().map(link).collect(),
        }
    }

    /// As OTLP has it, without its resource.
    fn wire(&self, zero: Timestamp, raw: &mut Raw) -> WireSpan {
        let (start, end) = self.nanos(zero);
        let mut events = Vec::new();
        for (name, attributes) in &self.events {
            events.push(WireEvent {
                name: name.clone(),
                time_unix_nano: start,
                attributes: raw.pairs(attributes),
                ..WireEvent::default()
            });
        }
        let mut links = Vec::new();
        for link in &self.links {
            links.push(WireLink {
                trace_id: link.to.0.as_bytes().to_vec(),
                span_id: link.to.1.as_bytes().to_vec(),
                trace_state: link.trace_state.clone(),
                attributes: raw.pairs(&link.attributes),
                ..WireLink::default()
            });
        }
        let parent = self.parent.map(|id| id.as_bytes().to_vec());
        WireSpan {
            trace_id: self.trace.as_bytes().to_vec(),
            span_id: self.id.as_bytes().to_vec(),
            parent_span_id: parent.unwrap_or_default(),
            name: self.name.clone(),
            kind: kind_code(self.kind),
            status: (self.status == SpanStatus::Error).then(|| Status {
                code: 2,
                ..Status::default()
            }),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            trace_state: self.trace_state.clone(),
            dropped_links_count: self.dropped_links,
            attributes: raw.pairs(&self.attributes),
            events,
            links,
            ..WireSpan::default()
        }
    }
}

/// The body of an OTLP request with these spans, each beside its own resource.
pub(crate) fn request<'a>(
    spans: impl IntoIterator<Item = &'a SpanBuilder>,
    zero: Timestamp,
) -> Vec<u8> {
    let mut raw = Raw::default();
    let mut resource_spans = Vec::new();
    for span in spans {
        let scope_spans = vec![ScopeSpans {
            spans: vec![span.wire(zero, &mut raw)],
            ..ScopeSpans::default()
        }];
        let attributes = raw.pairs(&span.resource);
        resource_spans.push(ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans,
            ..ResourceSpans::default()
        });
    }
    raw.restore(ExportTraceServiceRequest { resource_spans }.encode_to_vec())
}

/// Texts that are no UTF-8: a library of protobuf does not send them, so others of the same length stand
/// in their place until the body is made.
#[derive(Default)]
struct Raw(Vec<(Vec<u8>, Vec<u8>)>);

impl Raw {
    fn pairs(&mut self, pairs: &AttributePairs) -> Vec<KeyValue> {
        let mut all = Vec::new();
        for (key, value) in pairs {
            all.push(KeyValue {
                key: key.clone(),
                value: Some(self.value(value)),
                ..KeyValue::default()
            });
        }
        all
    }

    fn value(&mut self, datum: &AttributeValue) -> AnyValue {
        let value = match datum {
            AttributeValue::Text(text) => Value::StringValue(text.clone()),
            AttributeValue::Bytes(bytes) => Value::StringValue(self.stand_in(bytes)),
            AttributeValue::Bool(value) => Value::BoolValue(*value),
            AttributeValue::Int(value) => Value::IntValue(*value),
            AttributeValue::Double(value) => Value::DoubleValue(*value),
            AttributeValue::Array(all) => {
                let mut values = Vec::new();
                for one in all {
                    values.push(self.value(one));
                }
                Value::ArrayValue(ArrayValue { values })
            }
        };
        AnyValue { value: Some(value) }
    }

    fn stand_in(&mut self, bytes: &[u8]) -> String {
        let first = char::from(b'A' + u8::try_from(self.0.len()).unwrap());
        let stand_in: String = std::iter::repeat_n(first, bytes.len()).collect();
        self.0.push((stand_in.clone().into_bytes(), bytes.to_vec()));
        stand_in
    }

    fn restore(self, mut body: Vec<u8>) -> Vec<u8> {
        for (stand_in, bytes) in self.0 {
            // A text is its field number and type, its length and its bytes.
            let length = u8::try_from(bytes.len()).unwrap();
            let field = [&[0x0a, length], stand_in.as_slice()].concat();
            let mut places = body.windows(field.len());
            let place = places.position(|window| window == field).unwrap() + 2;
            body[place..place + bytes.len()].copy_from_slice(&bytes);
        }
        body
    }
}

fn owned(pairs: &AttributePairs) -> Vec<(String, OwnedValue)> {
    let pair = |(key, value): &(String, AttributeValue)| (key.clone(), owned_value(value));
    pairs.iter().map(pair).collect()
}

fn owned_value(value: &AttributeValue) -> OwnedValue {
    match value {
        AttributeValue::Text(text) => OwnedValue::String(text.clone()),
        AttributeValue::Bytes(bytes) => {
            OwnedValue::String(String::from_utf8_lossy(bytes).into_owned())
        }
        AttributeValue::Bool(value) => OwnedValue::Bool(*value),
        AttributeValue::Int(value) => OwnedValue::Int(*value),
        AttributeValue::Double(value) => OwnedValue::Double(*value),
        AttributeValue::Array(elements) => {
            OwnedValue::Array(elements.iter().map(owned_value).collect())
        }
    }
}

const fn kind_code(kind: SpanKind) -> i32 {
    match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn nanos_after(zero: Timestamp, secs: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
    let micros = (secs * 1e6).round() as i64;
    u64::try_from(zero.as_micros() + micros).unwrap() * 1_000
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for AttributeValue {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<bool> for AttributeValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for AttributeValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for AttributeValue {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for AttributeValue {
    fn from(all: [T; N]) -> Self {
        Self::Array(all.into_iter().map(Into::into).collect())
    }
}

//! One span in the wire format, in two steps: the fields that the index of selectors needs are
//! read, the others are kept as slices of the body until they are needed.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    attributes::{WireAttribute, look_up, text},
    details::{WireEvent, WireLink},
    reader::{Reader, WireField},
    resource::{SharedAttributes, WireResource, WireScope},
};
use crate::{
    domain::model::{
        ids::{SpanId, TraceId},
        span::{
            AttributeScope, EventView, LinkView, RANDOM_TRACE_ID, SpanKind, SpanStatus, SpanView,
        },
        value::Value,
    },
    ingest::{
        Malformed, Rejection,
        unreadable::{UnreadableValue, ValueFaults},
    },
};

/// The fields of a span as they were sent, not yet validated. It is reused for one span after the
/// other, so that its lists are allocated once per request.
#[derive(Debug, Default)]
pub(super) struct RawSpan<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    name: &'a [u8],
    trace_state: &'a [u8],
    kind: SpanKind,
    status: SpanStatus,
    status_message: &'a [u8],
    start_unix_nano: u64,
    end_unix_nano: u64,
    attributes: Vec<WireAttribute<'a>>,
    events: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
    dropped_links_count: u32,
    flags: u32,
    pub(super) faults: ValueFaults,
}

impl<'a> RawSpan<'a> {
    /// Clears the previous span and reads the next.
    ///
    /// # Errors
    /// If the message is malformed. Nested messages are not checked.
    pub(super) fn read(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.clear();
        let mut message = Reader::new(message);
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.trace_id = bytes,
                (2, WireField::Bytes(bytes)) => self.span_id = bytes,
                (3, WireField::Bytes(bytes)) => self.trace_state = bytes,
                (4, WireField::Bytes(bytes)) => self.parent_span_id = bytes,
                (5, WireField::Bytes(bytes)) => self.name = bytes,
                (6, WireField::Varint(number)) => self.kind = kind(number),
                (7, WireField::Fixed64(nanos)) => self.start_unix_nano = nanos,
                (8, WireField::Fixed64(nanos)) => self.end_unix_nano = nanos,
                (9, WireField::Bytes(bytes)) => self.attributes.push(WireAttribute(bytes)),
                (11, WireField::Bytes(bytes)) => self.events.push(bytes),
                (13, WireField::Bytes(bytes)) => self.links.push(bytes),
                (15, WireField::Bytes(bytes)) => self.read_status(bytes),
                (14, WireField::Varint(number)) => self.dropped_links_count = low_32_bits(number),
                (16, WireField::Fixed32(flags)) => self.flags = flags,
                // The time of a log record.
                (1, WireField::Fixed64(_)) => return Err(Malformed::LogRecord),
                // Other counts of dropped items, which nothing uses.
                (10 | 12, WireField::Varint(_)) => {}
                (1..=16, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut events = std::mem::take(&mut self.events);
        let mut links = std::mem::take(&mut self.links);
        attributes.clear();
        events.clear();
        links.clear();
        *self = Self {
            attributes,
            events,
            links,
            ..Self::default()
        };
    }

    fn read_status(&mut self, bytes: &'a [u8]) {
        if self.read_status_fields(Reader::new(bytes)).is_err() {
            self.faults.note(UnreadableValue::Malformed);
        }
    }

    fn read_status_fields(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => self.status_message = bytes,
                (3, WireField::Varint(number)) => self.status = status(number),
                (2 | 3, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }

    /// Returns the span with its resource and scope, if it can be used at all.
    pub(super) fn view<'s>(
        &'s self,
        resource: &'s WireResource<'a>,
        scope: &'s WireScope<'a>,
    ) -> Result<WireSpan<'a, 's>, Rejection> {
        Ok(WireSpan {
            trace_id: TraceId::from_slice(self.trace_id).ok_or(Rejection::TraceId)?,
            span_id: SpanId::from_slice(self.span_id).ok_or(Rejection::SpanId)?,
            parent_span_id: parent(self.parent_span_id)?,
            name: text(self.name, &self.faults),
            trace_state: OnceCell::new(),
            status_message: OnceCell::new(),
            raw: self,
            resource,
            scope,
        })
    }
}

/// Reads the parent id. A root has none; some senders write one of zeros instead.
fn parent(id: &[u8]) -> Result<Option<SpanId>, Rejection> {
    match id.len() {
        0 | 8 => Ok(SpanId::from_slice(id)),
        _ => Err(Rejection::ParentSpanId),
    }
}

/// Truncates a number that is too large for its field, as prost does.
fn low_32_bits(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Reads the kind. Enumerations are 32 bits wide: higher bits are cut off, as prost does.
fn kind(number: u64) -> SpanKind {
    match number & 0xffff_ffff {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn status(number: u64) -> SpanStatus {
    match number & 0xffff_ffff {
        1 => SpanStatus::Ok,
        2 => SpanStatus::Error,
        _ => SpanStatus::Unset,
    }
}

/// A usable span of a protobuf body.
#[derive(Debug)]
pub(super) struct WireSpan<'a, 's> {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    name: Cow<'a, str>,
    trace_state: OnceCell<Cow<'a, str>>,
    status_message: OnceCell<Cow<'a, str>>,
    raw: &'s RawSpan<'a>,
    resource: &'s WireResource<'a>,
    scope: &'s WireScope<'a>,
}

impl SpanView for WireSpan<'_, '_> {
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
        self.raw.kind
    }

    fn status(&self) -> SpanStatus {
        self.raw.status
    }

    fn status_message(&self) -> &str {
        let raw = self.raw;
        self.status_message
            .get_or_init(|| text(raw.status_message, &raw.faults))
    }

    fn start_unix_nano(&self) -> u64 {
        self.raw.start_unix_nano
    }

    fn end_unix_nano(&self) -> u64 {
        self.raw.end_unix_nano
    }

    fn trace_state(&self) -> &str {
        let raw = self.raw;
        self.trace_state
            .get_or_init(|| text(raw.trace_state, &raw.faults))
    }

    fn dropped_links_count(&self) -> u32 {
        self.raw.dropped_links_count
    }

    fn has_random_trace_id(&self) -> bool {
        self.raw.flags & RANDOM_TRACE_ID != 0
    }

    fn instrumentation_name(&self) -> &str {
        &self.scope.name
    }

    fn instrumentation_version(&self) -> &str {
        &self.scope.version
    }

    fn attribute(&self, scope: AttributeScope, key: &str) -> Option<Value<'_>> {
        let (raw, resource) = (self.raw, self.resource);
        let of_span = || look_up(&raw.attributes, key, &raw.faults);
        let of_resource = || resource.attributes.look_up(key, &resource.faults);
        let of_scope = || self.scope.attributes.look_up(key, &self.scope.faults);
        match scope {
            AttributeScope::Span => of_span(),
            AttributeScope::Resource => of_resource(),
            AttributeScope::Any => of_span().or_else(of_resource).or_else(of_scope),
            AttributeScope::Instrumentation => of_scope(),
        }
    }

    fn each_key(&self, each: &mut dyn FnMut(&[u8])) {
        for attribute in &self.raw.attributes {
            each(attribute.key());
        }
        let shared = [&self.resource.attributes, &self.scope.attributes];
        for key in shared.into_iter().flat_map(SharedAttributes::keys) {
            each(key);
        }
    }

    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>)) {
        let own = self.raw.attributes.iter().copied();
        let own = own.map(|attribute| (AttributeScope::Span, attribute, &self.raw.faults));
        let of_resource = self.resource.attributes.each();
        let of_resource = of_resource
            .map(|attribute| (AttributeScope::Resource, attribute, &self.resource.faults));
        for (scope, attribute, faults) in own.chain(of_resource) {
            if let Some(value) = attribute.value(faults) {
                each(scope, &text(attribute.key(), faults), value);
            }
        }
    }

    fn any_event(&self, test: &mut dyn FnMut(&dyn EventView) -> bool) -> bool {
        let faults = &self.raw.faults;
        let mut events = self.raw.events.iter();
        events.any(|message| test(&WireEvent::read(message, faults)))
    }

    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool {
        let faults = &self.raw.faults;
        let mut links = self.raw.links.iter();
        links.any(|message| test(&WireLink::read(message, faults)))
    }
}

//! One span on the wire, read in one pass into slices of the body.

use super::{
    attributes::{Attribute, attribute, look_up},
    details::{WireEvent, WireLink},
    notes::Notes,
    reader::{Reader, WireField},
    resource::{Resource, WireScope},
};
use crate::{
    domain::model::{
        ids::{SpanId, TraceId},
        span::{
            AttributeScope, EventView, LinkView, RANDOM_TRACE_ID, SpanKind, SpanStatus, SpanView,
            Value,
        },
    },
    ingest::{Malformed, Rejection},
};

/// The fields of a span as they stand on the wire, not yet judged. It is used for one span after
/// the other, so that its lists are allocated once per request.
#[derive(Debug, Default)]
pub(super) struct RawSpan<'a> {
    pub(super) notes: Notes,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    name: &'a str,
    trace_state: &'a str,
    kind: SpanKind,
    status: SpanStatus,
    status_message: &'a str,
    start_unix_nano: u64,
    end_unix_nano: u64,
    attributes: Vec<Attribute<'a>>,
    events: Vec<Reader<'a>>,
    links: Vec<Reader<'a>>,
    dropped_links_count: u32,
    flags: u32,
}

impl<'a> RawSpan<'a> {
    /// Forgets the span before and reads the next.
    pub(super) fn read(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        self.clear();
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.trace_id = bytes,
                (2, WireField::Bytes(bytes)) => self.span_id = bytes,
                (3, WireField::Bytes(bytes)) => {
                    self.trace_state = self.notes.text(bytes, "the trace state");
                }
                (4, WireField::Bytes(bytes)) => self.parent_span_id = bytes,
                (5, WireField::Bytes(bytes)) => self.name = self.notes.text(bytes, "the name"),
                (6, WireField::Varint(number)) => self.kind = kind(number),
                (7, WireField::Fixed64(nanos)) => self.start_unix_nano = nanos,
                (8, WireField::Fixed64(nanos)) => self.end_unix_nano = nanos,
                (9, WireField::Bytes(bytes)) => {
                    let attributes = &mut self.attributes;
                    attribute(message, bytes, &mut self.notes, |a| attributes.push(a))?;
                }
                (11, WireField::Bytes(bytes)) => self.read_event(message.open(bytes)?)?,
                (13, WireField::Bytes(bytes)) => self.read_link(message.open(bytes)?)?,
                (15, WireField::Bytes(bytes)) => self.read_status(message.open(bytes)?)?,
                (14, WireField::Varint(number)) => self.dropped_links_count = low_32_bits(number),
                (16, WireField::Fixed32(flags)) => self.flags = flags,
                // Other counts of what was dropped: nobody asks for them.
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

    fn read_event(&mut self, message: Reader<'a>) -> Result<(), Malformed> {
        WireEvent::read(message, &mut self.notes, &mut |_| {})?;
        self.events.push(message);
        Ok(())
    }

    fn read_link(&mut self, message: Reader<'a>) -> Result<(), Malformed> {
        WireLink::read(message, &mut self.notes, &mut |_| {})?;
        self.links.push(message);
        Ok(())
    }

    fn read_status(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => {
                    self.status_message = self.notes.text(bytes, "the status message");
                }
                (3, WireField::Varint(number)) => self.status = status(number),
                (2 | 3, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }

    /// The span with the resource and scope it stands in, if it can be used at all.
    pub(super) fn view<'s>(
        &'s self,
        resource: &'s Resource<'a>,
        scope: &'s WireScope<'a>,
    ) -> Result<WireSpan<'a, 's>, Rejection> {
        let not_utf8 = [self.notes, scope.notes, resource.notes]
            .into_iter()
            .find_map(|notes| notes.not_utf8);
        if let Some(field) = not_utf8 {
            return Err(Rejection::NotUtf8 { field });
        }
        Ok(WireSpan {
            trace_id: TraceId::from_slice(self.trace_id).ok_or(Rejection::TraceId)?,
            span_id: SpanId::from_slice(self.span_id).ok_or(Rejection::SpanId)?,
            parent_span_id: parent(self.parent_span_id)?,
            raw: self,
            resource,
            scope,
        })
    }
}

/// A root has no parent id; some senders write one of zeros instead.
fn parent(id: &[u8]) -> Result<Option<SpanId>, Rejection> {
    match id.len() {
        0 | 8 => Ok(SpanId::from_slice(id)),
        _ => Err(Rejection::ParentSpanId),
    }
}

/// As prost reads a number that is too large for its field.
fn low_32_bits(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Enumerations are 32 bits wide: what is above them is cut off, as prost does.
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

/// A span of a protobuf body that can be used.
#[derive(Debug)]
pub(super) struct WireSpan<'a, 's> {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    raw: &'s RawSpan<'a>,
    resource: &'s Resource<'a>,
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
        self.raw.name
    }

    fn kind(&self) -> SpanKind {
        self.raw.kind
    }

    fn status(&self) -> SpanStatus {
        self.raw.status
    }

    fn status_message(&self) -> &str {
        self.raw.status_message
    }

    fn start_unix_nano(&self) -> u64 {
        self.raw.start_unix_nano
    }

    fn end_unix_nano(&self) -> u64 {
        self.raw.end_unix_nano
    }

    fn trace_state(&self) -> &str {
        self.raw.trace_state
    }

    fn dropped_links_count(&self) -> u32 {
        self.raw.dropped_links_count
    }

    fn has_random_trace_id(&self) -> bool {
        self.raw.flags & RANDOM_TRACE_ID != 0
    }

    fn instrumentation_name(&self) -> &str {
        self.scope.name
    }

    fn instrumentation_version(&self) -> &str {
        self.scope.version
    }

    fn attribute(&self, scope: AttributeScope, key: &str) -> Option<Value<'_>> {
        let of_span = || look_up(&self.raw.attributes, key);
        let of_resource = || look_up(&self.resource.attributes, key);
        match scope {
            AttributeScope::Span => of_span(),
            AttributeScope::Resource => of_resource(),
            AttributeScope::Any => of_span().or_else(of_resource),
            AttributeScope::Instrumentation => look_up(&self.scope.attributes, key),
        }
    }

    fn each_key(&self, each: &mut dyn FnMut(&[u8])) {
        let all = [
            &self.raw.attributes,
            &self.resource.attributes,
            &self.scope.attributes,
        ];
        for (key, _) in all.into_iter().flatten() {
            each(key);
        }
    }

    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>)) {
        let own = self.raw.attributes.iter();
        let own = own.map(|(key, value)| (AttributeScope::Span, key, value));
        let of_resource = self.resource.attributes.iter();
        let of_resource = of_resource.map(|(key, value)| (AttributeScope::Resource, key, value));
        for (scope, key, value) in own.chain(of_resource) {
            if let Some(value) = value.as_value() {
                each(scope, str::from_utf8(key).unwrap_or_default(), value);
            }
        }
    }

    fn any_event(&self, test: &mut dyn FnMut(&dyn EventView) -> bool) -> bool {
        self.raw
            .events
            .iter()
            .any(|message| WireEvent::view(*message).is_ok_and(|event| test(&event)))
    }

    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool {
        self.raw
            .links
            .iter()
            .any(|message| WireLink::view(*message).is_ok_and(|link| test(&link)))
    }
}

//! One span in the wire format, in two steps: the fields that the index of selectors needs are
//! read, the others are kept as slices of the body until they are needed.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    attributes::{self, KeyedAttribute, WireAttribute, text},
    details::{WireEvent, WireLink},
    reader::{self, BYTES, FIXED32, FIXED64, Reader, VARINT, WireField},
    resource::{SharedAttributes, WireResource, WireScope},
};
use crate::{
    domain::{
        model::{
            ids::{SpanId, TraceId},
            span::{
                AttributeScope, EventView, LinkView, RANDOM_TRACE_ID, SpanKind, SpanStatus,
                SpanView,
            },
            value::Value,
        },
        traceql::KeyFilter,
    },
    ingest::{
        MalformedProtobuf, Rejection,
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
    /// The attributes whose keys every span is asked for.
    asked: Vec<KeyedAttribute<'a>>,
    /// The fields from the first attribute on.
    attributes: Reader<'a>,
    /// The fields from the first event on.
    events: Reader<'a>,
    /// The fields from the first link on.
    links: Reader<'a>,
    dropped_links_count: u32,
    flags: u32,
    pub(super) faults: ValueFaults,
}

const TRACE_ID: u32 = reader::key(1, BYTES);
const SPAN_ID: u32 = reader::key(2, BYTES);
const TRACE_STATE: u32 = reader::key(3, BYTES);
const PARENT_SPAN_ID: u32 = reader::key(4, BYTES);
const NAME: u32 = reader::key(5, BYTES);
const KIND: u32 = reader::key(6, VARINT);
const START: u32 = reader::key(7, FIXED64);
const END: u32 = reader::key(8, FIXED64);
const ATTRIBUTE: u32 = reader::key(9, BYTES);
const EVENT: u32 = reader::key(11, BYTES);
const LINK: u32 = reader::key(13, BYTES);
const DROPPED_LINKS_COUNT: u32 = reader::key(14, VARINT);
const STATUS: u32 = reader::key(15, BYTES);
const FLAGS: u32 = reader::key(16, FIXED32);

impl<'a> RawSpan<'a> {
    /// Clears the previous span and reads the next.
    ///
    /// # Errors
    /// If the message is malformed. Nested messages are not checked.
    pub(super) fn read(
        &mut self,
        message: &'a [u8],
        asked_keys: &KeyFilter,
    ) -> Result<(), MalformedProtobuf> {
        self.clear();
        let mut message = Reader::new(message);
        loop {
            let from = message;
            let Some(key) = message.key()? else {
                return Ok(());
            };
            match key {
                ATTRIBUTE => {
                    keep_first(&mut self.attributes, from);
                    self.read_attributes(&mut message, asked_keys)?;
                }
                TRACE_ID => self.trace_id = message.bytes()?,
                SPAN_ID => self.span_id = message.bytes()?,
                TRACE_STATE => self.trace_state = message.bytes()?,
                PARENT_SPAN_ID => self.parent_span_id = message.bytes()?,
                NAME => self.name = message.bytes()?,
                KIND => self.kind = kind(message.varint()?),
                START => self.start_unix_nano = message.fixed64()?,
                END => self.end_unix_nano = message.fixed64()?,
                EVENT => {
                    keep_first(&mut self.events, from);
                    message.bytes()?;
                }
                LINK => {
                    keep_first(&mut self.links, from);
                    message.bytes()?;
                }
                DROPPED_LINKS_COUNT => self.dropped_links_count = low_32_bits(message.varint()?),
                STATUS => self.read_status(message.bytes()?),
                FLAGS => self.flags = message.fixed32()?,
                key => pass_over(key, &mut message)?,
            }
        }
    }

    /// Reads the attribute whose key was read, and those that follow it.
    fn read_attributes(
        &mut self,
        message: &mut Reader<'a>,
        asked_keys: &KeyFilter,
    ) -> Result<(), MalformedProtobuf> {
        let attribute = WireAttribute(message.bytes()?);
        let key = attribute.key();
        self.keep_if_asked(KeyedAttribute { key, attribute }, asked_keys);
        while let Some(short) = attributes::next_short(ATTRIBUTE, message) {
            self.keep_if_asked(short, asked_keys);
        }
        Ok(())
    }

    #[inline]
    fn keep_if_asked(&mut self, attribute: KeyedAttribute<'a>, asked_keys: &KeyFilter) {
        if asked_keys.may_contain(attribute.key) {
            self.asked.push(attribute);
        }
    }

    fn clear(&mut self) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.clear();
        *self = Self {
            asked,
            ..Self::default()
        };
    }

    fn read_status(&mut self, bytes: &'a [u8]) {
        if self.read_status_fields(Reader::new(bytes)).is_err() {
            self.faults.note(UnreadableValue::Malformed);
        }
    }

    fn read_status_fields(&mut self, mut message: Reader<'a>) -> Result<(), MalformedProtobuf> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (2, WireField::Bytes(bytes)) => self.status_message = bytes,
                (3, WireField::Varint(number)) => self.status = status(number),
                (2 | 3, _) => return Err(MalformedProtobuf::WireType),
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
        asked_keys: &'s KeyFilter,
    ) -> Result<WireSpan<'a, 's>, Rejection> {
        Ok(WireSpan {
            trace_id: TraceId::from_slice(self.trace_id).ok_or(Rejection::TraceId)?,
            span_id: SpanId::from_slice(self.span_id).ok_or(Rejection::SpanId)?,
            parent_span_id: parent(self.parent_span_id)?,
            name: OnceCell::new(),
            trace_state: OnceCell::new(),
            status_message: OnceCell::new(),
            raw: self,
            resource,
            scope,
            asked_keys,
        })
    }

    /// Finds an attribute by its key; of duplicate keys the last one counts.
    fn attribute(&self, key: &str, asked_keys: &KeyFilter) -> Option<Value<'a>> {
        let key = key.as_bytes();
        let attribute = if asked_keys.may_contain(key) {
            let mut last_first = self.asked.iter().rev();
            last_first.find(|asked| asked.key == key)?.attribute
        } else {
            let all = self.attributes.each(ATTRIBUTE).map(WireAttribute);
            all.filter(|attribute| attribute.key() == key).last()?
        };
        attribute.value(&self.faults)
    }
}

fn keep_first<'a>(first: &mut Reader<'a>, fields: Reader<'a>) {
    if first.is_empty() {
        *first = fields;
    }
}

/// Skips an unused field.
fn pass_over(key: u32, message: &mut Reader<'_>) -> Result<(), MalformedProtobuf> {
    match message.value(key)? {
        // The time of a log record.
        (1, WireField::Fixed64(_)) => Err(MalformedProtobuf::LogRecord),
        // Other counts of dropped items.
        (10 | 12, WireField::Varint(_)) => Ok(()),
        (1..=16, _) => Err(MalformedProtobuf::WireType),
        (tag, field) => message.skip(tag, field),
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
    name: OnceCell<Cow<'a, str>>,
    trace_state: OnceCell<Cow<'a, str>>,
    status_message: OnceCell<Cow<'a, str>>,
    raw: &'s RawSpan<'a>,
    resource: &'s WireResource<'a>,
    scope: &'s WireScope<'a>,
    asked_keys: &'s KeyFilter,
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
        let raw = self.raw;
        self.name.get_or_init(|| text(raw.name, &raw.faults))
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
        let (asked_keys, resource, instrumentation) = (self.asked_keys, self.resource, self.scope);
        let of_span = || self.raw.attribute(key, asked_keys);
        let of_resource = || {
            let attributes = &resource.attributes;
            attributes.look_up(key, asked_keys, &resource.faults)
        };
        let of_scope = || {
            let attributes = &instrumentation.attributes;
            attributes.look_up(key, asked_keys, &instrumentation.faults)
        };
        match scope {
            AttributeScope::Span => of_span(),
            AttributeScope::Resource => of_resource(),
            AttributeScope::Any => of_span().or_else(of_resource).or_else(of_scope),
            AttributeScope::Instrumentation => of_scope(),
        }
    }

    fn each_asked_key(&self, each: &mut dyn FnMut(&[u8])) {
        for asked in &self.raw.asked {
            each(asked.key);
        }
        let shared = [&self.resource.attributes, &self.scope.attributes];
        for key in shared.into_iter().flat_map(SharedAttributes::asked_keys) {
            each(key);
        }
    }

    fn each_attribute(&self, each: &mut dyn FnMut(AttributeScope, &str, Value<'_>)) {
        let own = self.raw.attributes.each(ATTRIBUTE).map(WireAttribute);
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
        let mut events = self.raw.events.each(EVENT);
        events.any(|message| test(&WireEvent::read(message, faults)))
    }

    fn any_link(&self, test: &mut dyn FnMut(&dyn LinkView) -> bool) -> bool {
        let faults = &self.raw.faults;
        let mut links = self.raw.links.each(LINK);
        links.any(|message| test(&WireLink::new(message, faults)))
    }
}

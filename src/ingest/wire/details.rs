//! Events and links of a span in the wire format, read only if a selector or a correlator needs
//! them.

use std::borrow::Cow;

use super::{
    attributes::{WireAttribute, look_up, text},
    reader::{Reader, WireField},
};
use crate::{
    domain::model::{
        ids::{SpanId, TraceId},
        span::{EventView, LinkView},
        value::Value,
    },
    ingest::{
        MalformedProtobuf,
        unreadable::{UnreadableValue, ValueFaults},
    },
};

#[derive(Debug)]
pub(super) struct WireEvent<'a, 's> {
    name: Cow<'a, str>,
    time_unix_nano: u64,
    attributes: Vec<WireAttribute<'a>>,
    faults: &'s ValueFaults,
}

impl<'a, 's> WireEvent<'a, 's> {
    /// Reads the fields before the first one that is unreadable.
    pub(super) fn read(message: &'a [u8], faults: &'s ValueFaults) -> Self {
        let mut event = Self {
            name: Cow::default(),
            time_unix_nano: 0,
            attributes: Vec::new(),
            faults,
        };
        if event.read_fields(Reader::new(message)).is_err() {
            faults.note(UnreadableValue::Malformed);
        }
        event
    }

    fn read_fields(&mut self, mut message: Reader<'a>) -> Result<(), MalformedProtobuf> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Fixed64(nanos)) => self.time_unix_nano = nanos,
                (2, WireField::Bytes(bytes)) => self.name = text(bytes, self.faults),
                (3, WireField::Bytes(bytes)) => self.attributes.push(WireAttribute(bytes)),
                (1..=3, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}

impl EventView for WireEvent<'_, '_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn time_unix_nano(&self) -> u64 {
        self.time_unix_nano
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key, self.faults)
    }
}

#[derive(Debug)]
pub(super) struct WireLink<'a, 's> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    trace_state: Cow<'a, str>,
    attributes: Vec<WireAttribute<'a>>,
    faults: &'s ValueFaults,
}

impl<'a, 's> WireLink<'a, 's> {
    /// Reads the fields before the first one that is unreadable.
    pub(super) fn read(message: &'a [u8], faults: &'s ValueFaults) -> Self {
        let mut link = Self {
            trace_id: &[],
            span_id: &[],
            trace_state: Cow::default(),
            attributes: Vec::new(),
            faults,
        };
        if link.read_fields(Reader::new(message)).is_err() {
            faults.note(UnreadableValue::Malformed);
        }
        link
    }

    fn read_fields(&mut self, mut message: Reader<'a>) -> Result<(), MalformedProtobuf> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.trace_id = bytes,
                (2, WireField::Bytes(bytes)) => self.span_id = bytes,
                (3, WireField::Bytes(bytes)) => self.trace_state = text(bytes, self.faults),
                (4, WireField::Bytes(bytes)) => self.attributes.push(WireAttribute(bytes)),
                (1..=4, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}

impl LinkView for WireLink<'_, '_> {
    fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_slice(self.trace_id)
    }

    fn span_id(&self) -> Option<SpanId> {
        SpanId::from_slice(self.span_id)
    }

    fn trace_state(&self) -> &str {
        &self.trace_state
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key, self.faults)
    }
}

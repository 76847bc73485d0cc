//! Events and links of a span on the wire. They are read twice: once to check them, and again only
//! if a selector asks.

use super::{
    attributes::{Attribute, attribute, look_up},
    notes::Notes,
    reader::{Reader, WireField},
};
use crate::{
    domain::model::{
        ids::{SpanId, TraceId},
        span::{EventView, LinkView, Value},
    },
    ingest::Malformed,
};

#[derive(Debug, Default)]
pub(super) struct WireEvent<'a> {
    name: &'a str,
    time_unix_nano: u64,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> WireEvent<'a> {
    pub(super) fn view(message: Reader<'a>) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        let event = Self::read(message, &mut Notes::default(), &mut |attribute| {
            attributes.push(attribute);
        })?;
        Ok(Self {
            attributes,
            ..event
        })
    }

    /// Everything but the attributes, which go to `each`.
    pub(super) fn read(
        mut message: Reader<'a>,
        notes: &mut Notes,
        each: &mut dyn FnMut(Attribute<'a>),
    ) -> Result<Self, Malformed> {
        let mut event = Self::default();
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Fixed64(nanos)) => event.time_unix_nano = nanos,
                (2, WireField::Bytes(bytes)) => event.name = notes.text(bytes, "an event's name"),
                (3, WireField::Bytes(bytes)) => attribute(message, bytes, notes, &mut *each)?,
                (4, WireField::Varint(_)) => {}
                (1..=4, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(event)
    }
}

impl EventView for WireEvent<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn time_unix_nano(&self) -> u64 {
        self.time_unix_nano
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key)
    }
}

#[derive(Debug, Default)]
pub(super) struct WireLink<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    trace_state: &'a str,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> WireLink<'a> {
    pub(super) fn view(message: Reader<'a>) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        let link = Self::read(message, &mut Notes::default(), &mut |attribute| {
            attributes.push(attribute);
        })?;
        Ok(Self { attributes, ..link })
    }

    /// Everything but the attributes, which go to `each`.
    pub(super) fn read(
        mut message: Reader<'a>,
        notes: &mut Notes,
        each: &mut dyn FnMut(Attribute<'a>),
    ) -> Result<Self, Malformed> {
        let mut link = Self::default();
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => link.trace_id = bytes,
                (2, WireField::Bytes(bytes)) => link.span_id = bytes,
                (3, WireField::Bytes(bytes)) => {
                    link.trace_state = notes.text(bytes, "a link's trace state");
                }
                (4, WireField::Bytes(bytes)) => attribute(message, bytes, notes, &mut *each)?,
                (5, WireField::Varint(_)) | (6, WireField::Fixed32(_)) => {}
                (1..=6, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(link)
    }
}

impl LinkView for WireLink<'_> {
    fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_slice(self.trace_id)
    }

    fn span_id(&self) -> Option<SpanId> {
        SpanId::from_slice(self.span_id)
    }

    fn trace_state(&self) -> &str {
        self.trace_state
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        look_up(&self.attributes, key)
    }
}

//! Events and links of a span in the wire format, read only if a selector or a correlator needs
//! them.

use std::{borrow::Cow, cell::OnceCell};

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

/// A link whose fields are read when they are asked for: of most links nothing is.
#[derive(Debug)]
pub(super) struct WireLink<'a, 's> {
    message: &'a [u8],
    trace_state: OnceCell<Cow<'a, str>>,
    faults: &'s ValueFaults,
}

const LINK_TRACE_ID: u32 = 1;
const LINK_SPAN_ID: u32 = 2;
const LINK_TRACE_STATE: u32 = 3;
const LINK_ATTRIBUTE: u32 = 4;

impl<'a, 's> WireLink<'a, 's> {
    pub(super) const fn new(message: &'a [u8], faults: &'s ValueFaults) -> Self {
        Self {
            message,
            trace_state: OnceCell::new(),
            faults,
        }
    }

    /// Returns the last field with this number that `is_wanted`, of those before the first one that is
    /// unreadable.
    fn last(&self, number: u32, is_wanted: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
        let mut last = None;
        if self.find_last(number, is_wanted, &mut last).is_err() {
            self.faults.note(UnreadableValue::Malformed);
        }
        last
    }

    fn find_last(
        &self,
        number: u32,
        is_wanted: impl Fn(&[u8]) -> bool,
        last: &mut Option<&'a [u8]>,
    ) -> Result<(), MalformedProtobuf> {
        let mut message = Reader::new(self.message);
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (LINK_TRACE_ID..=LINK_ATTRIBUTE, WireField::Bytes(bytes)) => {
                    let found = (tag == number && is_wanted(bytes)).then_some(bytes);
                    *last = found.or(*last);
                }
                (LINK_TRACE_ID..=LINK_ATTRIBUTE, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}

impl LinkView for WireLink<'_, '_> {
    fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_slice(self.last(LINK_TRACE_ID, |_| true)?)
    }

    fn span_id(&self) -> Option<SpanId> {
        SpanId::from_slice(self.last(LINK_SPAN_ID, |_| true)?)
    }

    fn trace_state(&self) -> &str {
        self.trace_state.get_or_init(|| {
            let bytes = self.last(LINK_TRACE_STATE, |_| true);
            text(bytes.unwrap_or_default(), self.faults)
        })
    }

    fn attribute(&self, key: &str) -> Option<Value<'_>> {
        let has_key = |bytes: &[u8]| WireAttribute(bytes).key() == key.as_bytes();
        WireAttribute(self.last(LINK_ATTRIBUTE, has_key)?).value(self.faults)
    }
}

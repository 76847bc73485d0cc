//! Attributes in protobuf's wire format: `KeyValue` and the variants of `AnyValue`.
//!
//! Most are never read. So an attribute stays encoded: a look-up compares keys, and decodes only
//! the value that it needs. The attributes that every span is asked for are found in advance.

use std::borrow::Cow;

use super::reader::{self, BYTES, Reader, WireField};
use crate::{
    domain::model::value::{MAX_ELEMENTS, Value},
    ingest::{
        MalformedProtobuf,
        unreadable::{UnreadableValue, ValueFaults},
    },
};

const KEY: u32 = reader::key(1, BYTES);
const VALUE: u32 = reader::key(2, BYTES);
const TEXT: u32 = reader::key(1, BYTES);

/// One `KeyValue`, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireAttribute<'a>(pub(super) &'a [u8]);

/// An attribute whose key was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyedAttribute<'a> {
    pub(super) key: &'a [u8],
    pub(super) attribute: WireAttribute<'a>,
}

/// Returns the next field, if it is an attribute as nearly all are: short, with its key first and its
/// value last.
#[inline]
pub(super) fn next_short<'a>(field: u32, fields: &mut Reader<'a>) -> Option<KeyedAttribute<'a>> {
    let (message, behind) = fields.short_message(field, KEY)?;
    let ([tag, length], value) = message.behind.split_first_chunk::<2>()?;
    if u32::from(*tag) != VALUE || usize::from(*length) != value.len() {
        return None;
    }
    *fields = behind;
    Some(KeyedAttribute {
        key: message.first,
        attribute: WireAttribute(message.whole),
    })
}

/// Finds an attribute by its key; of duplicate keys the last one counts.
pub(super) fn look_up<'a>(
    attributes: &[WireAttribute<'a>],
    key: &str,
    faults: &ValueFaults,
) -> Option<Value<'a>> {
    let key = key.as_bytes();
    let mut last_first = attributes.iter().rev();
    let attribute = last_first.find(|attribute| attribute.key() == key)?;
    attribute.value(faults)
}

impl<'a> WireAttribute<'a> {
    /// Returns the key; empty if it is missing.
    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        // Nearly always the key comes first, and the value follows and ends the message.
        let mut message = Reader::new(self.0);
        if message.begins_with(KEY)
            && let Ok(key) = message.bytes()
            && message.begins_with(VALUE)
            && message.bytes().is_ok()
            && message.is_empty()
        {
            return key;
        }
        self.key_anywhere()
    }

    fn key_anywhere(self) -> &'a [u8] {
        let mut key = [].as_slice();
        let mut message = Reader::new(self.0);
        while let Ok(Some((tag, field))) = message.field() {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => key = bytes,
                (tag, field) if message.skip(tag, field).is_err() => break,
                _ => {}
            }
        }
        key
    }

    /// Returns the value; `None` if there is none, or none that can be read.
    pub(super) fn value(self, faults: &ValueFaults) -> Option<Value<'a>> {
        if let Some(bytes) = self.short_text() {
            return Some(Value::String(text(bytes, faults)));
        }
        let mut value = AnyValue::Unset;
        if self.read_value(&mut value, faults).is_err() {
            faults.note(UnreadableValue::Malformed);
            return None;
        }
        value.into_value(faults)
    }

    /// Returns the value if it is text and short, as most values are.
    fn short_text(self) -> Option<&'a [u8]> {
        let mut message = Reader::new(self.0);
        if !message.begins_with(KEY) {
            return None;
        }
        message.bytes().ok()?;
        let (value, behind) = message.short_message(VALUE, TEXT)?;
        (value.behind.is_empty() && behind.is_empty()).then_some(value.first)
    }

    fn read_value(
        self,
        value: &mut AnyValue<'a>,
        faults: &ValueFaults,
    ) -> Result<(), MalformedProtobuf> {
        let mut message = Reader::new(self.0);
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                // A repeated value is merged, and merging an empty one changes nothing.
                (2, WireField::Bytes(bytes)) => value.merge(bytes, Arrays::Read, faults)?,
                (1, WireField::Bytes(_)) => {}
                // An index into a table of strings, which only profiles have.
                (3, WireField::Varint(_)) => warn_of_string_indexes(),
                (1..=3, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}

/// The variant that was set last.
enum AnyValue<'a> {
    Unset,
    Text(&'a [u8]),
    Scalar(Value<'a>),
    /// The elements of one array may be spread over several fields.
    Array(Vec<Option<Value<'a>>>),
    /// Bytes, a key-value list, or a string by its index: nothing compares them.
    Other,
}

/// The treatment of an array: arrays within arrays have no value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrays {
    Read,
    Skip,
}

impl<'a> AnyValue<'a> {
    fn merge(
        &mut self,
        message: &'a [u8],
        arrays: Arrays,
        faults: &ValueFaults,
    ) -> Result<(), MalformedProtobuf> {
        let mut message = Reader::new(message);
        while let Some((tag, field)) = message.field()? {
            *self = match (tag, field) {
                (1, WireField::Bytes(bytes)) => Self::Text(bytes),
                (2, WireField::Varint(number)) => Self::Scalar(Value::Bool(number != 0)),
                (3, WireField::Varint(number)) => Self::Scalar(Value::Int(number.cast_signed())),
                (4, WireField::Fixed64(bits)) => Self::Scalar(Value::Double(f64::from_bits(bits))),
                (5, WireField::Bytes(bytes)) if arrays == Arrays::Read => {
                    self.add_elements(bytes, faults)?;
                    continue;
                }
                (5..=7, WireField::Bytes(_)) => Self::Other,
                (8, WireField::Varint(_)) => {
                    warn_of_string_indexes();
                    Self::Other
                }
                (1..=8, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => {
                    message.skip(tag, field)?;
                    continue;
                }
            };
        }
        Ok(())
    }

    fn add_elements(
        &mut self,
        array: &'a [u8],
        faults: &ValueFaults,
    ) -> Result<(), MalformedProtobuf> {
        let mut elements = match std::mem::replace(self, Self::Unset) {
            Self::Array(elements) => elements,
            Self::Unset | Self::Text(_) | Self::Scalar(_) | Self::Other => Vec::new(),
        };
        let mut array = Reader::new(array);
        while let Some((tag, field)) = array.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) if elements.len() < MAX_ELEMENTS => {
                    let mut element = AnyValue::Unset;
                    element.merge(bytes, Arrays::Skip, faults)?;
                    elements.push(element.into_value(faults));
                }
                (1, WireField::Bytes(_)) => {}
                (1, _) => return Err(MalformedProtobuf::WireType),
                (tag, field) => array.skip(tag, field)?,
            }
        }
        *self = Self::Array(elements);
        Ok(())
    }

    fn into_value(self, faults: &ValueFaults) -> Option<Value<'a>> {
        match self {
            Self::Unset | Self::Other => None,
            Self::Text(bytes) => Some(Value::String(text(bytes, faults))),
            Self::Scalar(value) => Some(value),
            Self::Array(elements) => Value::of_elements(elements),
        }
    }
}

/// Returns `bytes` as text, with U+FFFD for what is not UTF-8.
pub(super) fn text<'a>(bytes: &'a [u8], faults: &ValueFaults) -> Cow<'a, str> {
    // Faster than the repair, which goes from character to character.
    if let Ok(text) = str::from_utf8(bytes) {
        return text.into();
    }
    faults.note(UnreadableValue::NotUtf8);
    String::from_utf8_lossy(bytes)
}

/// Warns once, since such a sender does it in every request.
fn warn_of_string_indexes() {
    static WARNED: std::sync::Once = std::sync::Once::new();
    WARNED.call_once(|| {
        tracing::warn!("a sender gives strings in spans as indexes, which only profiles have");
    });
}

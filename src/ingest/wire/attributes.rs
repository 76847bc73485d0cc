//! Attributes as they stand on the wire: `KeyValue` and the eight shapes of `AnyValue`.

use super::{
    notes::Notes,
    reader::{Reader, WireField},
};
use crate::{domain::model::span::Value, ingest::Malformed};

/// Key and value. Text was found to be UTF-8, but stays bytes until it is asked for: most is never.
pub(super) type Attribute<'a> = (&'a [u8], WireValue<'a>);

#[derive(Clone, Copy, Debug)]
pub(super) enum WireValue<'a> {
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Its `KeyValue`, checked before: the parts of an array may be given one by one.
    Array(Reader<'a>),
    Other,
}

/// Of duplicate keys the last one counts.
pub(super) fn look_up<'a>(attributes: &[Attribute<'a>], key: &str) -> Option<Value<'a>> {
    let key = key.as_bytes();
    let (_, value) = attributes.iter().rev().find(|(name, _)| *name == key)?;
    value.as_value()
}

impl<'a> WireValue<'a> {
    pub(super) fn as_value(self) -> Option<Value<'a>> {
        match self {
            WireValue::Text(bytes) => Some(Value::String(str::from_utf8(bytes).ok()?.into())),
            WireValue::Bool(value) => Some(Value::Bool(value)),
            WireValue::Int(value) => Some(Value::Int(value)),
            WireValue::Double(value) => Some(Value::Double(value)),
            WireValue::Array(key_value) => Value::of_elements(elements(key_value).ok()?),
            WireValue::Other => None,
        }
    }
}

/// The elements of the array that is the value of an attribute.
fn elements(mut key_value: Reader<'_>) -> Result<Vec<Option<Value<'_>>>, Malformed> {
    let mut elements = Vec::new();
    while let Some((tag, field)) = key_value.field()? {
        let (2, WireField::Bytes(bytes)) = (tag, field) else {
            key_value.skip(tag, field)?;
            continue;
        };
        let mut value = key_value.open(bytes)?;
        while let Some((tag, field)) = value.field()? {
            match (tag, field) {
                (5, WireField::Bytes(bytes)) => add_elements(value.open(bytes)?, &mut elements)?,
                // Something else before the array, which replaced it.
                (1..=8, _) => elements.clear(),
                (tag, field) => value.skip(tag, field)?,
            }
        }
    }
    Ok(elements)
}

fn add_elements<'a>(
    mut array: Reader<'a>,
    elements: &mut Vec<Option<Value<'a>>>,
) -> Result<(), Malformed> {
    while let Some((tag, field)) = array.field()? {
        let (1, WireField::Bytes(bytes)) = (tag, field) else {
            array.skip(tag, field)?;
            continue;
        };
        let value = any_value(array.open(bytes)?, &mut Notes::default())?;
        elements.push(match value {
            // Arrays in arrays have no value.
            None | Some(WireValue::Array(_)) => None,
            Some(value) => value.as_value(),
        });
    }
    Ok(())
}

/// Gives the attribute in `bytes`, a field of `parent`, to `each`.
#[inline]
pub(super) fn attribute<'a>(
    parent: Reader<'a>,
    bytes: &'a [u8],
    notes: &mut Notes,
    each: impl FnOnce(Attribute<'a>),
) -> Result<(), Malformed> {
    match plain(bytes) {
        // The value of an attribute opens one level more.
        Some((key, text)) if parent.depth > 1 => each((key, WireValue::Text(text))),
        _ => each(key_value(parent.open(bytes)?, notes)?),
    }
    Ok(())
}

/// Most attributes are a short text in ASCII, written in this order. To know them by sight halves
/// the cost of a scan.
#[inline]
fn plain(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const KEY: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    const STRING: u8 = 1 << 3 | 2;

    // All ASCII means too that each length is in one byte.
    if !bytes.is_ascii() {
        return None;
    }
    let [KEY, length, rest @ ..] = bytes else {
        return None;
    };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let [VALUE, outer, STRING, inner, text @ ..] = rest else {
        return None;
    };
    let fits = usize::from(*inner) == text.len() && usize::from(*outer) == text.len() + 2;
    fits.then_some((key, text))
}

/// One `KeyValue`. A value that was never set is there, but equal to nothing.
fn key_value<'a>(mut message: Reader<'a>, notes: &mut Notes) -> Result<Attribute<'a>, Malformed> {
    let whole = message;
    let (mut key, mut value) = ([].as_slice(), WireValue::Other);
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => key = notes.check(bytes, "an attribute key"),
            // A repeated value is merged, and merging an empty one changes nothing.
            (2, WireField::Bytes(bytes)) => {
                value = any_value(message.open(bytes)?, notes)?.unwrap_or(value);
            }
            // An index into a table of strings that only profiles have.
            (3, WireField::Varint(_)) => notes.string_index = true,
            (1..=3, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    if let WireValue::Array(_) = value {
        value = WireValue::Array(whole);
    }
    Ok((key, value))
}

/// One `AnyValue`: the last shape that was set, `None` if none was.
fn any_value<'a>(
    mut message: Reader<'a>,
    notes: &mut Notes,
) -> Result<Option<WireValue<'a>>, Malformed> {
    let mut value = None;
    while let Some((tag, field)) = message.field()? {
        value = Some(match (tag, field) {
            (1, WireField::Bytes(bytes)) => {
                WireValue::Text(notes.check(bytes, "an attribute value"))
            }
            (2, WireField::Varint(number)) => WireValue::Bool(number != 0),
            (3, WireField::Varint(number)) => WireValue::Int(number.cast_signed()),
            (4, WireField::Fixed64(bits)) => WireValue::Double(f64::from_bits(bits)),
            (5, WireField::Bytes(bytes)) => array(message.open(bytes)?, notes)?,
            (6, WireField::Bytes(bytes)) => map(message.open(bytes)?, notes)?,
            (7, WireField::Bytes(_)) => WireValue::Other,
            (8, WireField::Varint(_)) => {
                notes.string_index = true;
                WireValue::Other
            }
            (1..=8, _) => return Err(Malformed::WireType),
            (tag, field) => {
                message.skip(tag, field)?;
                continue;
            }
        });
    }
    Ok(value)
}

fn array<'a>(mut message: Reader<'a>, notes: &mut Notes) -> Result<WireValue<'a>, Malformed> {
    let elements = message;
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => any_value(message.open(bytes)?, notes).map(drop)?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok(WireValue::Array(elements))
}

fn map<'a>(mut message: Reader<'a>, notes: &mut Notes) -> Result<WireValue<'a>, Malformed> {
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, WireField::Bytes(bytes)) => attribute(message, bytes, notes, drop)?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok(WireValue::Other)
}

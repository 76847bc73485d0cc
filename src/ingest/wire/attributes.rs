//! Attributes as they stand on the wire: `KeyValue` and the eight shapes of `AnyValue`.

use super::{
    notes::Notes,
    reader::{Field, Reader},
};
use crate::{domain::span::Value, ingest::Malformed};

pub(super) type Attribute<'a> = (&'a str, Value<'a>);

/// Of duplicate keys the last one counts.
pub(super) fn look_up<'a>(attributes: &[Attribute<'a>], key: &str) -> Option<Value<'a>> {
    attributes
        .iter()
        .rev()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| *value)
}

/// One `KeyValue`. A value that was never set is there, but equal to nothing.
pub(super) fn key_value<'a>(
    mut message: Reader<'a>,
    notes: &mut Notes,
) -> Result<Attribute<'a>, Malformed> {
    let (mut key, mut value) = ("", Value::Other);
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, Field::Bytes(bytes)) => key = notes.text(bytes, "an attribute key"),
            // A repeated value is merged, and merging an empty one changes nothing.
            (2, Field::Bytes(bytes)) => {
                value = any_value(message.open(bytes)?, notes)?.unwrap_or(value);
            }
            // An index into a table of strings that only profiles have.
            (3, Field::Varint(_)) => notes.string_index = true,
            (1..=3, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok((key, value))
}

/// One `AnyValue`: the last shape that was set, `None` if none was.
fn any_value<'a>(
    mut message: Reader<'a>,
    notes: &mut Notes,
) -> Result<Option<Value<'a>>, Malformed> {
    let mut value = None;
    while let Some((tag, field)) = message.field()? {
        value = Some(match (tag, field) {
            (1, Field::Bytes(bytes)) => Value::String(notes.text(bytes, "an attribute value")),
            (2, Field::Varint(number)) => Value::Bool(number != 0),
            (3, Field::Varint(number)) => Value::Int(number.cast_signed()),
            (4, Field::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (5, Field::Bytes(bytes)) => array(message.open(bytes)?, notes)?,
            (6, Field::Bytes(bytes)) => map(message.open(bytes)?, notes)?,
            (7, Field::Bytes(_)) => Value::Other,
            (8, Field::Varint(_)) => {
                notes.string_index = true;
                Value::Other
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

fn array<'a>(mut message: Reader<'a>, notes: &mut Notes) -> Result<Value<'a>, Malformed> {
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, Field::Bytes(bytes)) => any_value(message.open(bytes)?, notes).map(drop)?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok(Value::Other)
}

fn map<'a>(mut message: Reader<'a>, notes: &mut Notes) -> Result<Value<'a>, Malformed> {
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1, Field::Bytes(bytes)) => key_value(message.open(bytes)?, notes).map(drop)?,
            (1, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok(Value::Other)
}

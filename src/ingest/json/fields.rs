//! Single fields of OTLP/JSON, each in all the ways that it is written.

use serde_json::Value as Json;

use crate::{
    domain::model::{
        ids::SpanId,
        span::{OwnedValue, SpanAttributes},
    },
    ingest::Rejection,
};

pub(super) type Object = serde_json::Map<String, Json>;

/// `null` is absent.
pub(super) fn member<'j>(object: &'j Object, name: &str) -> Option<&'j Json> {
    object.get(name).filter(|value| !value.is_null())
}

pub(super) fn object<'j>(value: &'j Json, what: &str) -> Result<&'j Object, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{what} is not an object"))
}

/// The objects of a list; each may be none.
pub(super) fn objects<'j>(
    parent: &'j Object,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<&'j Object, String>>, String> {
    let list = match member(parent, name) {
        None => &[],
        Some(Json::Array(list)) => list.as_slice(),
        Some(_) => return Err(format!("`{name}` is not an array")),
    };
    Ok(list
        .iter()
        .filter(|element| !element.is_null())
        .map(move |element| object(element, &format!("an element of `{name}`"))))
}

pub(super) fn text(object: &Object, name: &str) -> Result<String, String> {
    match member(object, name) {
        None => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

pub(super) fn unsigned(object: &Object, name: &str) -> Result<u64, String> {
    let Some(value) = member(object, name) else {
        return Ok(0);
    };
    let number = match value {
        Json::String(digits) => digits.parse().ok().or_else(|| whole(digits.parse().ok()?)),
        Json::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        _ => None,
    };
    number.ok_or_else(|| format!("`{name}` is not a number from 0 to 2^64 - 1"))
}

/// What `1.7e18` stands for, if it is a whole number that 64 bits can hold.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was checked that the number fits"
)]
fn whole(number: f64) -> Option<u64> {
    const END: f64 = 18_446_744_073_709_551_616.0;
    let fits = number.fract() == 0.0 && (0.0..END).contains(&number);
    fits.then_some(number as u64)
}

/// A number or a name, as text; empty if absent.
pub(super) fn enumeration(object: &Object, name: &str) -> String {
    match member(object, name) {
        Some(Json::String(name)) => name.clone(),
        Some(Json::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The bytes of an id: hexadecimal digits, or the array of numbers that old Rust exporters wrote.
pub(super) fn id(object: &Object, name: &str) -> Result<Vec<u8>, String> {
    let Some(value) = member(object, name) else {
        return Ok(Vec::new());
    };
    let bytes = match value {
        Json::String(digits) => from_hex(digits),
        Json::Array(numbers) => numbers
            .iter()
            .map(|number| number.as_u64().and_then(|n| u8::try_from(n).ok()))
            .collect(),
        _ => None,
    };
    bytes.ok_or_else(|| {
        let shown: String = value.to_string().chars().take(50).collect();
        format!("`{name}` {shown} is not hexadecimal, as OTLP/JSON demands: base64 is not taken")
    })
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// A root has no parent id; some senders write one of zeros instead.
pub(super) fn parent(span: &Object) -> Result<Option<SpanId>, Rejection> {
    let bytes = id(span, "parentSpanId").map_err(Rejection::Malformed)?;
    match bytes.len() {
        0 | 8 => Ok(SpanId::from_slice(&bytes)),
        _ => Err(Rejection::ParentSpanId),
    }
}

pub(super) fn attributes(parent: &Object) -> Result<SpanAttributes, String> {
    objects(parent, "attributes")?
        .map(|attribute| {
            let attribute = attribute?;
            let key = text(attribute, "key")?;
            let value = match member(attribute, "value") {
                Some(value) => any_value(object(value, "the value of an attribute")?)?,
                None => OwnedValue::Other,
            };
            Ok((key, value))
        })
        .collect()
}

fn any_value(value: &Object) -> Result<OwnedValue, String> {
    if let Some(text) = member(value, "stringValue") {
        return match text {
            Json::String(text) => Ok(OwnedValue::String(text.clone())),
            _ => Err("`stringValue` is not a string".to_owned()),
        };
    }
    if let Some(value) = member(value, "boolValue") {
        let value = value.as_bool().ok_or("`boolValue` is not true or false")?;
        return Ok(OwnedValue::Bool(value));
    }
    if let Some(value) = member(value, "intValue") {
        return int(value).ok_or_else(|| "`intValue` is not a number".to_owned());
    }
    if let Some(value) = member(value, "doubleValue") {
        let value = double(value).ok_or("`doubleValue` is not a number")?;
        return Ok(OwnedValue::Double(value));
    }
    if let Some(array) = member(value, "arrayValue") {
        let elements = objects(object(array, "`arrayValue`")?, "values")?;
        return elements
            .map(|element| any_value(element?))
            .collect::<Result<_, _>>()
            .map(OwnedValue::Array);
    }
    // Maps, bytes, what is empty and what came after this program.
    Ok(OwnedValue::Other)
}

/// JavaScript writes every number without fraction as `intValue`, `1e+21` too: what no 64 bits hold
/// stays what it is, a floating-point number.
fn int(value: &Json) -> Option<OwnedValue> {
    let exact = match value {
        Json::String(digits) => digits.parse().ok(),
        Json::Number(number) => number.as_i64(),
        _ => None,
    };
    if let Some(exact) = exact {
        return Some(OwnedValue::Int(exact));
    }
    let number = double(value)?;
    let magnitude = whole(number.abs()).and_then(|magnitude| i64::try_from(magnitude).ok());
    Some(match magnitude {
        Some(magnitude) if number < 0.0 => OwnedValue::Int(-magnitude),
        Some(magnitude) => OwnedValue::Int(magnitude),
        None => OwnedValue::Double(number),
    })
}

/// Takes `NaN` and `Infinity` too, which proto3's JSON writes as strings.
fn double(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

//! Single fields of OTLP/JSON, in all the forms that senders use. A field that cannot be read is
//! absent, and recorded as a fault.

use super::tree::{JsonObject, JsonTree};
use crate::{
    domain::model::{
        ids::SpanId,
        span::{OwnedValue, SpanAttributes},
    },
    ingest::{
        Rejection,
        unreadable::{MAX_SHARED_ATTRIBUTES, UnreadableValue, ValueFaults},
    },
};

/// Returns the objects of a list; each may be `None`.
///
/// # Errors
/// If it is not a list.
pub(super) fn objects<'j, 'a>(
    parent: &'j JsonObject<'a>,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<&'j JsonObject<'a>, String>>, String> {
    let list = match parent.member(name) {
        None => &[],
        Some(JsonTree::Array(list)) => list.as_slice(),
        Some(_) => return Err(format!("`{name}` is not an array")),
    };
    Ok(list
        .iter()
        .filter(|element| **element != JsonTree::Null)
        .map(move |element| match element {
            JsonTree::Object(object) => Ok(object),
            _ => Err(format!("an element of `{name}` is not an object")),
        }))
}

/// Returns the objects of a list, without its `None`s.
pub(super) fn readable_objects<'j, 'a>(
    parent: &'j JsonObject<'a>,
    name: &'static str,
    faults: &ValueFaults,
) -> Vec<&'j JsonObject<'a>> {
    let Ok(list) = objects(parent, name) else {
        faults.note(fault_of(parent.member(name)));
        return Vec::new();
    };
    let readable = list.filter_map(|element| {
        if element.is_err() {
            faults.note(UnreadableValue::Malformed);
        }
        element.ok()
    });
    readable.collect()
}

/// Returns the object; `None` if it is absent or not an object.
pub(super) fn readable_object<'j, 'a>(
    parent: &'j JsonObject<'a>,
    name: &str,
    faults: &ValueFaults,
) -> Option<&'j JsonObject<'a>> {
    let value = parent.member(name)?;
    if let JsonTree::Object(object) = value {
        return Some(object);
    }
    faults.note(fault_of(Some(value)));
    None
}

/// Returns the fault of a value of the wrong type.
fn fault_of(value: Option<&JsonTree<'_>>) -> UnreadableValue {
    match value {
        Some(JsonTree::TooDeep) => UnreadableValue::TooDeep,
        _ => UnreadableValue::Malformed,
    }
}

pub(super) fn text(object: &JsonObject<'_>, name: &str, faults: &ValueFaults) -> String {
    match object.member(name) {
        None => String::new(),
        Some(JsonTree::String(string)) => {
            if string.is_repaired {
                faults.note(UnreadableValue::NotUtf8);
            }
            string.text.clone().into_owned()
        }
        other => {
            faults.note(fault_of(other));
            String::new()
        }
    }
}

/// Reads an unsigned number; 0 if it is absent.
pub(super) fn unsigned(object: &JsonObject<'_>, name: &str, faults: &ValueFaults) -> u64 {
    let Some(value) = object.member(name) else {
        return 0;
    };
    let number = digits(value)
        .and_then(|digits| digits.parse().ok().or_else(|| whole(digits.parse().ok()?)));
    number.unwrap_or_else(|| {
        faults.note(UnreadableValue::NotANumber);
        0
    })
}

/// Returns the digits of a number: proto3's JSON writes 64-bit numbers as strings, and many senders
/// as numbers.
fn digits<'j>(value: &'j JsonTree<'_>) -> Option<&'j str> {
    match value {
        JsonTree::Number(number) => Some(number),
        JsonTree::String(string) => Some(&string.text),
        _ => None,
    }
}

/// Reads a number such as `1.7e18`, if it is a whole number that 64 bits can hold.
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

/// Returns a number or a name as text; empty if absent.
pub(super) fn enumeration<'j>(object: &'j JsonObject<'_>, name: &str) -> &'j str {
    object.member(name).and_then(digits).unwrap_or_default()
}

/// Returns the bytes of an id: hexadecimal digits, or the array of numbers that old Rust exporters
/// wrote.
pub(super) fn id(object: &JsonObject<'_>, name: &str) -> Result<Vec<u8>, String> {
    let Some(value) = object.member(name) else {
        return Ok(Vec::new());
    };
    let bytes = match value {
        JsonTree::String(string) => from_hex(&string.text),
        JsonTree::Array(numbers) => numbers
            .iter()
            .map(|number| digits(number)?.parse().ok())
            .collect(),
        _ => None,
    };
    bytes.ok_or_else(|| {
        let shown: String = digits(value).unwrap_or_default().chars().take(50).collect();
        format!(
            "`{name}` \"{shown}\" is not hexadecimal, as OTLP/JSON demands: base64 is not taken"
        )
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

/// Reads the parent id. A root has none; some senders write one of zeros instead.
pub(super) fn parent(span: &JsonObject<'_>) -> Result<Option<SpanId>, Rejection> {
    let bytes = id(span, "parentSpanId").map_err(Rejection::Malformed)?;
    match bytes.len() {
        0 | 8 => Ok(SpanId::from_slice(&bytes)),
        _ => Err(Rejection::ParentSpanId),
    }
}

pub(super) fn attributes(parent: &JsonObject<'_>, faults: &ValueFaults) -> SpanAttributes {
    let list = readable_objects(parent, "attributes", faults).into_iter();
    let pair = |attribute: &JsonObject<'_>| {
        let value = readable_object(attribute, "value", faults);
        let value = value.map_or(OwnedValue::Other, |value| any_value(value, faults));
        (text(attribute, "key", faults), value)
    };
    list.map(pair).collect()
}

/// Reads the attributes of a resource or a scope.
pub(super) fn shared_attributes(parent: &JsonObject<'_>, faults: &ValueFaults) -> SpanAttributes {
    let mut all = attributes(parent, faults);
    if all.len() > MAX_SHARED_ATTRIBUTES {
        faults.note(UnreadableValue::TooMany);
        all.truncate(MAX_SHARED_ATTRIBUTES);
    }
    all
}

/// Reads an `AnyValue`. Maps, bytes, empty and unreadable values, and types added to OTLP later
/// have no value.
fn any_value(value: &JsonObject<'_>, faults: &ValueFaults) -> OwnedValue {
    if value.member("stringValue").is_some() {
        // Text of another type is absent, not empty.
        return match value.member("stringValue") {
            Some(JsonTree::String(_)) => OwnedValue::String(text(value, "stringValue", faults)),
            other => unreadable(fault_of(other), faults),
        };
    }
    if let Some(value) = value.member("boolValue") {
        let JsonTree::Bool(value) = value else {
            return unreadable(fault_of(Some(value)), faults);
        };
        return OwnedValue::Bool(*value);
    }
    if let Some(value) = value.member("intValue") {
        return int(value).unwrap_or_else(|| unreadable(UnreadableValue::NotANumber, faults));
    }
    if let Some(value) = value.member("doubleValue") {
        let value = double(value).map(OwnedValue::Double);
        return value.unwrap_or_else(|| unreadable(UnreadableValue::NotANumber, faults));
    }
    match value.member("arrayValue") {
        None => OwnedValue::Other,
        Some(JsonTree::Object(array)) => {
            let elements = readable_objects(array, "values", faults).into_iter();
            OwnedValue::Array(elements.map(|element| any_value(element, faults)).collect())
        }
        other => unreadable(fault_of(other), faults),
    }
}

fn unreadable(fault: UnreadableValue, faults: &ValueFaults) -> OwnedValue {
    faults.note(fault);
    OwnedValue::Other
}

/// Reads an integer. JavaScript writes every number without fraction as `intValue`, even `1e+21`: a
/// number that exceeds 64 bits stays a floating-point number.
fn int(value: &JsonTree<'_>) -> Option<OwnedValue> {
    if let Ok(exact) = digits(value)?.parse() {
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

/// Reads a floating-point number. Accepts `NaN` and `Infinity`, which proto3's JSON writes as
/// strings, but not `1e400`, which would become infinite.
fn double(value: &JsonTree<'_>) -> Option<f64> {
    let digits = digits(value)?.trim();
    let number: f64 = digits.parse().ok()?;
    let is_meant = !number.is_infinite() || digits.to_ascii_lowercase().contains("inf");
    is_meant.then_some(number)
}

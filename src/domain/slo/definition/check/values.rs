//! Checks that many fields share. Each notes what is wrong and then has no value.

use std::time::Duration;

use super::super::{
    diagnostics::{Diagnostics, SourceSpan},
    read::{Field, Scalar},
};
use crate::domain::{
    model::ids::Name,
    slo::duration::{format_duration, parse_duration},
};

/// The value of a field that must be there. `parent` is where it is missed.
pub(crate) fn required<T>(
    findings: &Diagnostics<'_>,
    field: Field<T>,
    parent: SourceSpan,
    key: &str,
) -> Option<(T, SourceSpan)> {
    match field {
        Field::Valid(value, place) => Some((value, place)),
        Field::Invalid => None,
        Field::Missing => {
            findings.error(parent, format!("missing field `{key}`"));
            None
        }
    }
}

/// Like [`required`], without taking it.
pub(crate) fn required_ref<'f, T>(
    findings: &Diagnostics<'_>,
    field: &'f Field<T>,
    parent: SourceSpan,
    key: &str,
) -> Option<(&'f T, SourceSpan)> {
    if field.is_missing() {
        findings.error(parent, format!("missing field `{key}`"));
    }
    field.valid()
}

/// The value of a field that may be left out.
pub(crate) fn optional<T>(field: Option<&Field<T>>) -> Option<(&T, SourceSpan)> {
    field.and_then(Field::valid)
}

pub(crate) fn name(
    findings: &Diagnostics<'_>,
    field: &Field<String>,
    parent: SourceSpan,
) -> Option<(Name, SourceSpan)> {
    let (text, place) = required_ref(findings, field, parent, "name")?;
    match text.parse() {
        Ok(name) => Some((name, place)),
        Err(error) => {
            let help = suggested_name(text).map(|name| format!("write `{name}`"));
            findings.error_with_help(place, format!("{error}"), help);
            None
        }
    }
}

fn suggested_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    name.parse::<Name>().is_ok().then(|| name.to_owned())
}

pub(crate) fn duration(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
) -> Option<Duration> {
    match parse_duration(text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            findings.error(place, error.to_string());
            None
        }
    }
}

/// A stretch of time that counts are summed over.
pub(crate) fn whole_minutes(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
) -> Option<Duration> {
    let duration = duration(findings, text, place)?;
    if duration.as_nanos() % 60_000_000_000 == 0 {
        return Some(duration);
    }
    findings.error_with_help(
        place,
        format!("`{text}` is not a whole number of minutes: events are counted by the minute"),
        format!(
            "write `{}`",
            format_duration(Duration::from_secs(duration.as_secs() / 60 * 60 + 60))
        ),
    );
    None
}

/// A share above 0 and at most 1, written `2%` or `0.02`.
pub(crate) fn share(findings: &Diagnostics<'_>, scalar: &Scalar, place: SourceSpan) -> Option<f64> {
    let text = scalar.0.trim();
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let Ok(number) = number.parse::<f64>() else {
        let message = format!("`{text}` is not a share: write `2%`, or `0.02` as a ratio");
        findings.error(place, message);
        return None;
    };
    let share = number / whole;
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    let help = (share > 1.0 && share <= 100.0 && !text.ends_with('%'))
        .then(|| format!("did you mean `{text}%`?"));
    findings.error_with_help(
        place,
        format!("`{text}` is not above 0 % and at most 100 %"),
        help,
    );
    None
}

/// An address that may be called or linked to: nothing but `http` and `https`, with a host.
pub(crate) fn web_address(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
) -> Option<String> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let is_address = host.is_some_and(|host| !host.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_address {
        return Some(text.to_owned());
    }
    findings.error_with_help(
        place,
        "this is not a web address",
        "write it whole: `https://host/path`".to_owned(),
    );
    None
}

pub(crate) fn is_env_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

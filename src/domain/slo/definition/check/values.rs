//! Reads values that many fields have.

use std::{fmt::Write as _, time::Duration};

use chrono_tz::Tz;

use super::super::{
    shape::Shape,
    suggest,
    value::{Checked, YamlValue},
};
use crate::domain::{
    model::{ids::Name, text::nearest},
    slo::duration::{format_duration, parse_duration},
};

/// Reads text as it is written.
pub(crate) fn text(value: YamlValue<'_>) -> Checked<String> {
    value.text().map(ToOwned::to_owned)
}

pub(crate) fn name(value: YamlValue<'_>) -> Checked<Name> {
    let text = value.text_as(Shape::Name)?;
    text.parse().map_err(|error| {
        let help = suggest::suggested_name(text).map(|name| format!("write `{name}`"));
        value.error_with_help(format!("{error}"), help)
    })
}

/// Reads a reference to a declaration, one of `known`. `kind` is what to declare if there is none.
pub(crate) fn reference<'n>(
    value: YamlValue<'_>,
    thing: &str,
    known: impl Iterator<Item = &'n Name> + Clone,
    kind: &str,
) -> Checked<Name> {
    let text = value.text_as(Shape::Name)?;
    let found = known.clone().find(|name| name.as_str() == text);
    found.cloned().ok_or_else(|| {
        let help = suggest::did_you_mean(text, known.map(Name::as_str))
            .unwrap_or_else(|| format!("declare it: `kind: {kind}`"));
        value.error_with_help(format!("there is no {thing} `{text}`"), help)
    })
}

pub(crate) fn duration(value: YamlValue<'_>) -> Checked<Duration> {
    parse_duration(value.scalar(Shape::Duration)?).map_err(|error| value.error(error.to_string()))
}

/// Reads a length of whole minutes, over which counts are summed.
pub(crate) fn whole_minutes(value: YamlValue<'_>) -> Checked<Duration> {
    let text = value.scalar(Shape::Duration)?;
    let duration = duration(value)?;
    if duration.as_nanos() % 60_000_000_000 == 0 {
        return Ok(duration);
    }
    let next = Duration::from_secs(duration.as_secs() / 60 * 60 + 60);
    Err(value.error_with_help(
        format!("`{text}` is not a whole number of minutes: events are counted by the minute"),
        format!("write `{}`", format_duration(next)),
    ))
}

/// Reads a share above 0 and at most 1, written `2%` or `0.02`.
pub(crate) fn share(value: YamlValue<'_>) -> Checked<f64> {
    let text = value.scalar(Shape::Scalar)?.trim();
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let Ok(number) = number.parse::<f64>() else {
        let message = format!("`{text}` is not a share: write `2%`, or `0.02` as a ratio");
        return Err(value.error(message));
    };
    let share = number / whole;
    if share > 0.0 && share <= 1.0 {
        return Ok(share);
    }
    let help = (share > 1.0 && share <= 100.0 && !text.ends_with('%'))
        .then(|| format!("did you mean `{text}%`?"));
    let message = format!("`{text}` is not above 0 % and at most 100 %");
    Err(value.error_with_help(message, help))
}

/// Reads a URL that is called or linked to: only `http` and `https`, with a host. Characters that
/// URLs do not allow are percent-encoded, as browsers do, so that receivers of messages accept it.
pub(crate) fn web_address(value: YamlValue<'_>) -> Checked<String> {
    let text = value.text()?;
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let has_host = host.is_some_and(|host| !host.is_empty());
    if !has_host || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(value.error_with_help(
            "this is not a web address",
            "write it whole: `https://host/path`".to_owned(),
        ));
    }
    if host.is_some_and(|host| host.contains(needs_encoding)) {
        return Err(value.error_with_help(
            "the host of an address has ASCII letters only",
            "write it in its ASCII form, which begins with `xn--`".to_owned(),
        ));
    }
    Ok(percent_encoded(text))
}

/// Returns whether RFC 3986 does not allow a character.
const fn needs_encoding(c: char) -> bool {
    !c.is_ascii() || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if needs_encoding(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _written = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(c);
        }
    }
    encoded
}

/// Reads a time zone by its name in the tz database.
pub(crate) fn time_zone(value: YamlValue<'_>) -> Checked<Tz> {
    let text = value.text()?;
    text.parse().map_err(|_| {
        // There are hundreds: only the nearest one helps.
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let help = nearest(text, known).map_or_else(
            || "write a name of the tz database: `Europe/London`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        value.error_with_help(format!("there is no time zone `{text}`"), help)
    })
}

pub(crate) fn is_env_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_no_address_is_percent_encoded_and_the_rest_is_kept() {
        assert_eq!(
            percent_encoded("https://wiki.example/Störung?q=<a>#\"b\"&c=%20"),
            "https://wiki.example/St%C3%B6rung?q=%3Ca%3E#%22b%22&c=%20"
        );
    }
}

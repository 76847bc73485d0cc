//! Durations as people write them: `5m`, `1h30m`, `30d`.

use std::{fmt::Write as _, time::Duration};

/// The reason why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    #[error("`{0}` is not a duration: write `5m`, `1h30m` or `30d`")]
    NotADuration(String),
    #[error("`{0}` has no unit: write `{0}s`, `{0}m`, `{0}h` or `{0}d`")]
    NoUnit(String),
    #[error("`{unit}` is not a unit of time: use `ms`, `s`, `m`, `h`, `d`, `w` or `y`")]
    UnknownUnit { unit: String },
    #[error(
        "`{0}` means months or quarters, whose length varies: write days, such as `30d` (`m` is minutes)"
    )]
    VaryingLength(String),
    #[error("`{0}` is no time at all")]
    Zero(String),
    #[error("`{0}` is too long: no duration is above ten years")]
    TooLong(String),
}

const TEN_YEARS: Duration = Duration::from_hours(3_650 * 24);

/// Parses whole numbers with units, usually largest first: `1h30m`, `1w`, `500ms`. As in Prometheus
/// and OpenSLO `m` is minutes and a year has 365 days.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let not_a_duration = || ParseDurationError::NotADuration(text.to_owned());
    let too_long = || ParseDurationError::TooLong(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(not_a_duration());
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (digits, tail) = split_where(rest, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(not_a_duration());
        }
        let (unit, tail) = split_where(tail.trim_start(), |c| !c.is_alphabetic() && c != 'µ');
        let number: u32 = digits.parse().map_err(|_| too_long())?;
        let part = match unit_length(unit) {
            Some(length) => length.checked_mul(number).ok_or_else(too_long)?,
            None => return Err(unit_error(text, digits, unit, tail)),
        };
        sum = sum.checked_add(part).ok_or_else(too_long)?;
        rest = tail.trim_start();
    }
    match sum {
        Duration::ZERO => Err(ParseDurationError::Zero(text.to_owned())),
        sum if sum > TEN_YEARS => Err(too_long()),
        sum => Ok(sum),
    }
}

fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

fn unit_length(unit: &str) -> Option<Duration> {
    let secs = Duration::from_secs;
    Some(match unit {
        "us" | "µs" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" | "sec" | "secs" | "second" | "seconds" => secs(1),
        "m" | "min" | "mins" | "minute" | "minutes" => secs(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => secs(3_600),
        "d" | "day" | "days" => secs(86_400),
        "w" | "week" | "weeks" => secs(7 * 86_400),
        "y" | "year" | "years" => secs(365 * 86_400),
        _ => return None,
    })
}

fn unit_error(text: &str, digits: &str, unit: &str, tail: &str) -> ParseDurationError {
    match unit {
        "" if tail.is_empty() => ParseDurationError::NoUnit(digits.to_owned()),
        "" => ParseDurationError::NotADuration(text.to_owned()),
        "M" | "month" | "months" | "Q" | "quarter" | "quarters" => {
            ParseDurationError::VaryingLength(text.to_owned())
        }
        unit => ParseDurationError::UnknownUnit {
            unit: unit.to_owned(),
        },
    }
}

/// Formats in the shortest way: `5m`, `1h30m`, `30d`. Less than a millisecond is not shown.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            // Writing to a string cannot fail.
            let _written = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_habits_of_prometheus_and_openslo_are_read() {
        for (text, secs) in [
            ("5m", 300),
            ("1m", 60),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("30d", 30 * 86_400),
            ("1w", 7 * 86_400),
            ("2 hours", 7_200),
            ("1y", 365 * 86_400),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(secs)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_length_of_time_says_why() {
        for (text, expected) in [
            ("", "is not a duration"),
            ("soon", "is not a duration"),
            ("-5m", "is not a duration"),
            ("1.5h", "is not a duration"),
            ("5", "has no unit: write `5s`"),
            ("1M", "`m` is minutes"),
            ("3 fortnights", "`fortnights` is not a unit"),
            ("0s", "no time at all"),
            ("99999999999d", "too long"),
            ("4000000000w", "too long"),
            ("11y", "too long"),
        ] {
            let message = parse_duration(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_survives_being_written(ms in 1_u64..315_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[0-9]{0,20}[a-zM]{0,3}") {
            let _either = parse_duration(&text);
        }
    }
}

//! Numbers, durations and times as people read them: the same in messages and on pages.

use std::time::Duration;

use super::time::Timestamp;

/// `1,240`.
pub fn count(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `13.3 %`: one digit after the point, below one percent two significant ones.
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    let number = if value.abs() >= 1.0 {
        trimmed(value, 1)
    } else {
        significant(value, 2)
    };
    // A share that is not whole never reads as whole, nor a small one as none.
    let number = match number.as_str() {
        "100" if value < 100.0 => significant_until(value, |text| text != "100"),
        _ => number,
    };
    format!("{number} %")
}

/// `99.95 %`: an objective, with every digit that it was written with.
pub fn objective(ratio: f64) -> String {
    // Objectives are kept in millionths.
    format!("{} %", trimmed(ratio * 100.0, 4))
}

/// `23×`: two significant digits.
pub fn multiplier(value: f64) -> String {
    format!("{}×", significant(value, 2))
}

/// A value and the threshold it is compared with: `("5.59×", "5.6×")`. Rounding never makes them
/// equal or swaps them.
pub fn multiplier_beside(value: f64, threshold: f64) -> (String, String) {
    let (value, threshold) = apart(value, threshold);
    (format!("{value}×"), format!("{threshold}×"))
}

/// A share and the promise it is compared with, as percentages that rounding never makes equal.
pub fn percent_beside(ratio: f64, promise: f64) -> (String, String) {
    let (value, threshold) = apart(ratio * 100.0, promise * 100.0);
    (format!("{value} %"), format!("{threshold} %"))
}

/// `250 ms`, `4.2 s`, `6 min 41 s`, `4 h 52 min`, `3 d 4 h`: the two largest units.
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0 if duration.subsec_millis() == 0 => "0 s".to_owned(),
        0 => format!("{} ms", duration.subsec_millis()),
        1..60 => format!("{} s", trimmed(duration.as_secs_f64().min(59.9), 1)),
        60..3_600 => two_units(secs / 60, "min", secs % 60, "s"),
        3_600..86_400 => two_units(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => two_units(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

/// [`duration`] of seconds that may be out of its range.
pub fn seconds(secs: f64) -> String {
    duration(Duration::try_from_secs_f64(secs).unwrap_or_default())
}

/// `06:18 UTC`.
pub fn time_of_day(at: Timestamp) -> String {
    at.to_chrono().format("%H:%M UTC").to_string()
}

/// `2026-11-22 06:18 UTC`.
pub fn date_time(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m-%d %H:%M UTC").to_string()
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// Texts of both numbers that compare as the numbers do: two significant digits where that is
/// enough, more where it is not.
fn apart(value: f64, threshold: f64) -> (String, String) {
    let truth = value.partial_cmp(&threshold);
    for threshold_digits in 4..=17 {
        let threshold_text = significant(threshold, threshold_digits);
        let value_text = (2..=threshold_digits)
            .map(|digits| significant(value, digits))
            .find(|text| compare(text, &threshold_text) == truth);
        if let Some(value_text) = value_text {
            return (value_text, threshold_text);
        }
    }
    (value.to_string(), threshold.to_string())
}

fn compare(left: &str, right: &str) -> Option<std::cmp::Ordering> {
    let (left, right): (f64, f64) = (left.parse().ok()?, right.parse().ok()?);
    left.partial_cmp(&right)
}

fn significant_until(value: f64, is_enough: impl Fn(&str) -> bool) -> String {
    (2..=17)
        .map(|digits| significant(value, digits))
        .find(|text| is_enough(text))
        .unwrap_or_else(|| value.to_string())
}

/// At least `digits` significant digits, no zeros at the end after the point.
fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value.is_finite() {
            "0".to_owned()
        } else {
            value.to_string()
        };
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an f64 has at most 309 digits"
    )]
    let magnitude = value.abs().log10().floor() as i32;
    let after_point = usize::try_from(digits - 1 - magnitude).unwrap_or(0);
    trimmed(value, after_point)
}

fn trimmed(value: f64, after_point: usize) -> String {
    // Nobody reads thirty digits, and a message has no room for them.
    if value.abs() >= 1e12 || (value != 0.0 && value.abs() < 1e-9) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.after_point$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_240, "1,240"),
            (-1_234_567, "-1,234,567"),
        ] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn shares_read_as_percentages() {
        for (ratio, text) in [
            (0.133_19, "13.3 %"),
            (0.18, "18 %"),
            (0.002, "0.2 %"),
            (0.000_123, "0.012 %"),
            (1.0, "100 %"),
            (0.999_96, "99.996 %"),
            (0.0, "0 %"),
            (-0.21, "-21 %"),
        ] {
            assert_eq!(percent(ratio), text);
        }
    }

    #[test]
    fn an_objective_keeps_its_digits() {
        for (ratio, text) in [
            (0.9995, "99.95 %"),
            (0.99, "99 %"),
            (0.999_999, "99.9999 %"),
        ] {
            assert_eq!(objective(ratio), text);
        }
    }

    #[test]
    fn burn_rates_read_as_multipliers() {
        for (value, text) in [
            (23.1, "23×"),
            (5.62, "5.6×"),
            (0.123, "0.12×"),
            (1_234.0, "1234×"),
        ] {
            assert_eq!(multiplier(value), text);
        }
    }

    #[test]
    fn a_value_just_beside_its_threshold_shows_it() {
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(multiplier_beside(5.59, 5.6), both("5.59×", "5.6×"));
        assert_eq!(multiplier_beside(14.41, 14.4), both("14.41×", "14.4×"));
        assert_eq!(multiplier_beside(26.6, 14.4), both("27×", "14.4×"));
        assert_eq!(multiplier_beside(13.44, 13.44), both("13.44×", "13.44×"));
        assert_eq!(percent_beside(0.994_99, 0.995), both("99 %", "99.5 %"));
    }

    #[test]
    fn durations_have_two_units() {
        for (secs, text) in [
            (0.0, "0 s"),
            (0.25, "250 ms"),
            (11.2, "11.2 s"),
            (20.0, "20 s"),
            (59.99, "59.9 s"),
            (401.0, "6 min 41 s"),
            (3_600.0, "1 h"),
            (17_520.0, "4 h 52 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(seconds(secs), text);
        }
    }

    proptest! {
        #[test]
        fn a_value_and_its_threshold_read_in_their_true_order(
            threshold in 0.01_f64..1e4, offset in -1e-3_f64..1e-3,
        ) {
            for value in [threshold + offset, threshold * (1.0 + offset), threshold * 3.0, threshold] {
                let (left, right) = apart(value, threshold);
                prop_assert_eq!(compare(&left, &right), value.partial_cmp(&threshold));
            }
        }
    }
}

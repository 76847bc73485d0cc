//! Percentages, burn rates, durations and times as people read them.
//!
//! Nothing here can print `NaN`, and no value reads as equal to a threshold that it does not equal.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

use crate::domain::time::Timestamp;

/// What stands where there is no number.
pub(super) const NONE: &str = "–";
const MINUS: char = '−';

/// `1,208,046`.
pub(super) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    if n < 0 {
        out.push(MINUS);
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 workflow`, `3 workflows`.
pub(super) fn counted(n: i64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// What is left of the budget: `40 %`, `−7 %`, `0.4 %`; never `0 %` or `100 %` unless it is.
pub(super) fn budget(left: Option<f64>) -> String {
    let Some(left) = left.filter(|left| left.is_finite()) else {
        return NONE.to_owned();
    };
    let percent = left * 100.0;
    let digits = (0..=9).find(|&digits| {
        let shown = rounded(percent, digits);
        side(shown, 0.0) == side(percent, 0.0) && side(shown, 100.0) == side(percent, 100.0)
    });
    format!("{} %", signed(percent, digits.unwrap_or(9)))
}

/// A plain share: `25 %`, `0.42 %`.
pub(super) fn share(ratio: Option<f64>) -> String {
    let Some(ratio) = ratio.filter(|ratio| ratio.is_finite()) else {
        return NONE.to_owned();
    };
    let percent = ratio * 100.0;
    let digits = if percent == 0.0 || percent >= 10.0 {
        0
    } else {
        2 - magnitude(percent).min(1)
    };
    let digits = (digits..=9)
        .find(|&digits| side(rounded(percent, digits), 100.0) == side(percent, 100.0))
        .unwrap_or(9);
    format!("{} %", trimmed(percent, digits))
}

/// The achieved share of good events, precise enough to tell it from `objective`: `99.70 %`.
pub(super) fn achieved(good: Option<f64>, objective: f64) -> String {
    let Some(good) = good.filter(|good| good.is_finite()) else {
        return NONE.to_owned();
    };
    let (percent, limit) = (good * 100.0, objective * 100.0);
    // As many digits as the budget needs to show its tenth: 2 for 99.5 %, 3 for 99.95 %.
    let least = (2..6)
        .find(|&digits| 10f64.powi(-digits) <= (100.0 - limit) / 10.0)
        .unwrap_or(6);
    let text = told_apart(percent, limit, least);
    format!("{text} %")
}

/// A burn rate beside the factor that it is compared with: `5.59×` under `5.6×`.
pub(super) fn burn(rate: Option<f64>, factor: Option<f64>) -> String {
    let Some(rate) = rate.filter(|rate| rate.is_finite()) else {
        return NONE.to_owned();
    };
    let text = match factor {
        None => significant(rate, 2),
        Some(factor) => {
            let limit = number_of(&significant(factor, 4));
            let same = |shown: f64| side(shown, limit) == side(rate, factor);
            (2..=9)
                .map(|digits| significant(rate, digits))
                .find(|text| same(number_of(text)))
                .unwrap_or_else(|| just_beside(rate, factor))
        }
    };
    format!("{text}×")
}

/// The factor of a rule: `13.44×`, `5.6×`.
pub(super) fn factor(factor: f64) -> String {
    let text = significant(factor, 4);
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}×")
}

fn just_beside(value: f64, limit: f64) -> String {
    let word = if value < limit {
        "just under"
    } else {
        "just over"
    };
    format!("{word} {}", significant(limit, 4))
}

/// With so many digits that it is on the same side of the limit as it reads.
fn told_apart(value: f64, limit: f64, least: i32) -> String {
    let least = usize::try_from(least).unwrap_or(2);
    let digits = (least..=9)
        .find(|&digits| side(rounded(value, digits), limit) == side(value, limit))
        .unwrap_or(9);
    signed(value, digits)
}

fn side(value: f64, limit: f64) -> std::cmp::Ordering {
    value.total_cmp(&limit)
}

fn rounded(value: f64, digits: usize) -> f64 {
    let shown = number_of(&format!("{value:.digits$}"));
    // `-0` reads as 0.
    if shown == 0.0 { 0.0 } else { shown }
}

fn number_of(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or(0.0)
}

fn signed(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    if rounded(value, digits) < 0.0 {
        format!("{MINUS}{text}")
    } else {
        text
    }
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = signed(value, digits);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Digits before the point less one, not below 0.
fn magnitude(value: f64) -> usize {
    (0..9)
        .rev()
        .find(|&power| value.abs() >= 10f64.powi(power))
        .unwrap_or(0)
        .unsigned_abs() as usize
}

/// Positive numbers with so many significant digits, but at most six after the point.
fn significant(value: f64, digits: usize) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let exponent = (-6..9_i32)
        .rev()
        .find(|&power| value >= 10f64.powi(power))
        .unwrap_or(-6);
    let wanted = i32::try_from(digits).unwrap_or(2) - 1 - exponent;
    let after = usize::try_from(wanted.clamp(0, 6)).unwrap_or(0);
    format!("{value:.after$}")
}

/// The two largest units: `11 h 23 min`, `2 d 20 h`, `47 s`, `0.8 s`.
pub(super) fn duration(length: Duration) -> String {
    let secs = length.as_secs();
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{big} {big_unit}")
        } else {
            format!("{big} {big_unit} {small} {small_unit}")
        }
    };
    match secs {
        0 if length.is_zero() => "0 s".to_owned(),
        0..10 => {
            let text = format!("{:.1}", length.as_secs_f64());
            format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
        }
        10..60 => format!("{secs} s"),
        60..3_600 => pair(secs / 60, "min", secs % 60, "s"),
        3_600..86_400 => pair(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => pair(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

pub(super) fn seconds(secs: f64) -> String {
    Duration::try_from_secs_f64(secs).map_or_else(|_| NONE.to_owned(), duration)
}

/// Minutes and more, for what lasts: `19 min`.
pub(super) fn lasting(length: Duration) -> String {
    let whole = length.as_secs();
    let cut = if whole >= 60 {
        whole - whole % 60
    } else {
        whole
    };
    duration(Duration::from_secs(cut))
}

/// The length of a window as a definition writes it: `28 d`, `6 h`, `5 min`.
pub(super) fn window(secs: u64) -> String {
    duration(Duration::from_secs(secs))
}

/// `10:08:04`.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_chrono().format("%H:%M:%S").to_string()
}

/// As short as it can be without doubt: `21:31` today, else `Thu 19 Nov 21:31`, with the year if it
/// is another.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now): (DateTime<Utc>, DateTime<Utc>) = (at.into(), now.into());
    if at.date_naive() == now.date_naive() {
        format!("{:02}:{:02}", at.hour(), at.minute())
    } else if at.year() == now.year() {
        at.format("%a %-d %b %H:%M").to_string()
    } else {
        at.format("%-d %b %Y %H:%M").to_string()
    }
}

/// A moment in a sentence: `today 21:31`, `Thu 19 Nov 21:31`.
pub(super) fn moment_in_words(at: Timestamp, now: Timestamp) -> String {
    let text = moment(at, now);
    if text.len() == 5 {
        format!("today {text}")
    } else {
        text
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;

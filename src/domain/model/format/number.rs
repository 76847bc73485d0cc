//! Counts, shares and burn rates.

use std::cmp::Ordering;

use super::NONE;

const MINUS: char = '−';
/// Formats an ordinal: `1st`, `2nd`, `3rd`, `11th`.
pub fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// The limit of digits: no one compares more.
const MOST_DIGITS: usize = 9;

/// Formats a count: `1,208,046`.
pub fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if n < 0 {
        text.push(MINUS);
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count with its noun: `1 workflow`, `3 workflows`.
pub fn counted(n: i64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// Formats the first 64 bits of a hash: 16 hexadecimal digits.
pub fn fingerprint(hash: &[u8]) -> String {
    let start = hash
        .iter()
        .take(8)
        .fold(0, |start: u64, byte| start << 8 | u64::from(*byte));
    format!("{start:016x}")
}

/// Formats a share: `13.3 %`, `0.42 %`. One below 1 never reads as `100 %`, nor one above 0 as `0
/// %`.
pub fn percent(ratio: impl Into<Option<f64>>) -> String {
    let Some(value) = scaled(ratio) else {
        return NONE.to_owned();
    };
    let least = if value.abs() >= 1.0 {
        1
    } else {
        decimals(value, 2)
    };
    let digits = apart(value, least, &[0.0, 100.0]);
    format!("{} %", trimmed(value, digits))
}

/// Formats a share without further digits: `97 %`, `under 1 %`, `over 99 %`.
pub fn whole_percent(ratio: impl Into<Option<f64>>) -> String {
    match scaled(ratio) {
        None => NONE.to_owned(),
        Some(value) if value > 0.0 && value < 1.0 => "under 1 %".to_owned(),
        Some(value) if value > 99.0 && value < 100.0 => "over 99 %".to_owned(),
        Some(value) => format!("{} %", fixed(value, 0)),
    }
}

/// Formats a part of an error budget: `40 %`, `−7 %`, `0.4 %`; never `0 %` or `100 %` unless it is
/// exactly that.
pub fn budget(ratio: impl Into<Option<f64>>) -> String {
    let Some(value) = scaled(ratio) else {
        return NONE.to_owned();
    };
    let digits = apart(value, 0, &[0.0, 100.0]);
    format!("{} %", trimmed(value, digits))
}

/// Formats what is left of a budget, and what is if all unusable events are bad: `82 % (61 % at
/// worst)`.
pub fn budget_range(left: Option<f64>, at_worst: Option<f64>) -> String {
    let left = budget(left);
    match at_worst.map(budget) {
        Some(worst) if worst != left => format!("{left} ({worst} at worst)"),
        _ => left,
    }
}

/// Formats an objective with every digit that it was written with: `99.95 %`.
pub fn objective(ratio: f64) -> String {
    // Objectives are stored in millionths.
    format!("{} %", trimmed(ratio * 100.0, 4))
}

/// Formats the share of good events, precisely enough to distinguish it from the objective: `99.70
/// %`.
pub fn achieved(good: impl Into<Option<f64>>, objective: f64) -> String {
    let Some(value) = scaled(good) else {
        return NONE.to_owned();
    };
    let limit = objective * 100.0;
    // As many digits as the budget needs to show its tenth: 2 for 99.5 %, 3 for 99.95 %.
    let least = (2..6_i32)
        .find(|&digits| 10f64.powi(-digits) <= (100.0 - limit) / 10.0)
        .and_then(|digits| usize::try_from(digits).ok())
        .unwrap_or(6);
    format!("{} %", fixed(value, apart(value, least, &[limit])))
}

/// Formats a burn rate beside the factor that it is compared with: `5.59×` under `5.6×`, `23×` over
/// `13.44×`.
pub fn burn_rate(rate: impl Into<Option<f64>>, factor: impl Into<Option<f64>>) -> String {
    let Some(rate) = rate.into().filter(|rate| rate.is_finite()) else {
        return NONE.to_owned();
    };
    let Some(factor) = factor.into() else {
        return format!("{}×", significant(rate, 2));
    };
    let limit = significant(factor, FACTOR_DIGITS);
    let read_as = |text: &str| number_of(text).total_cmp(&number_of(&limit));
    let text = (2..=MOST_DIGITS)
        .map(|digits| significant(rate, digits))
        .find(|text| read_as(text) == rate.total_cmp(&factor));
    match (text, rate < factor) {
        (Some(text), _) => format!("{text}×"),
        (None, true) => format!("just under {limit}×"),
        (None, false) => format!("just over {limit}×"),
    }
}

const FACTOR_DIGITS: usize = 4;

/// Formats the factor of a rule: `13.44×`, `5.6×`.
pub fn factor(factor: f64) -> String {
    format!("{}×", significant(factor, FACTOR_DIGITS))
}

fn scaled(ratio: impl Into<Option<f64>>) -> Option<f64> {
    let value = ratio.into()? * 100.0;
    value.is_finite().then_some(value)
}

/// Returns the smallest number of digits after the point, from `least` on, with which `value` reads
/// as being on its side of all `limits`.
fn apart(value: f64, least: usize, limits: &[f64]) -> usize {
    let is_true = |digits: &usize| {
        let shown = number_of(&fixed(value, *digits));
        limits
            .iter()
            .all(|limit| side(shown, *limit) == side(value, *limit))
    };
    (least..=MOST_DIGITS).find(is_true).unwrap_or(MOST_DIGITS)
}

fn side(value: f64, limit: f64) -> Option<Ordering> {
    value.partial_cmp(&limit)
}

fn number_of(text: &str) -> f64 {
    text.replace(MINUS, "-").parse().unwrap_or(0.0)
}

/// Formats with at least this many significant digits, without trailing zeros after the point.
fn significant(value: f64, digits: usize) -> String {
    trimmed(value, decimals(value, digits).min(MOST_DIGITS))
}

/// Returns the digits after the point that give `value` this many significant ones.
fn decimals(value: f64, significant: usize) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an f64 has at most 309 digits"
    )]
    let magnitude = value.abs().log10().floor() as i64;
    let wanted = i64::try_from(significant).unwrap_or(2) - 1 - magnitude;
    usize::try_from(wanted).unwrap_or(0)
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn fixed(value: f64, digits: usize) -> String {
    // Thirty digits are unreadable, and a message has no space for them.
    if value.abs() >= 1e12 {
        return format!("{value:.1e}").replace('-', "−");
    }
    let text = format!("{:.digits$}", value.abs());
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !is_zero {
        format!("{MINUS}{text}")
    } else {
        text
    }
}

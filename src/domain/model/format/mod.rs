//! Formats numbers, lengths and times for people, the same in messages and on pages.
//!
//! Nothing here prints `NaN`, and no value reads as equal to a threshold that it does not equal.

mod number;
mod time;

pub use number::{
    achieved, budget, budget_range, burn_rate, count, counted, factor, fingerprint, objective,
    ordinal, percent, whole_percent,
};
pub use time::{
    clock, date_time, duration, instant, lasting, moment, moment_in_words, seconds,
    since_first_event, time_of_day, window,
};

/// The text for a missing number.
pub const NONE: &str = "–";

#[cfg(test)]
mod tests;

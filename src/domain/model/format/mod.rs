//! Numbers, lengths and times as people read them: the same in messages and on pages.
//!
//! Nothing here prints `NaN`, and no value reads as equal to a threshold that it does not equal.

mod number;
mod time;

pub use number::{
    achieved, budget, burn_rate, count, counted, factor, objective, ordinal, percent, whole_percent,
};
pub use time::{
    clock, date_time, duration, lasting, moment, moment_in_words, seconds, since_first_event,
    time_of_day, window,
};

/// What stands where there is no number.
pub const NONE: &str = "–";

#[cfg(test)]
mod tests;

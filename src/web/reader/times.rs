//! Formats times in the reader's time zone, as [`mod@format`] does in a given one.

use std::time::Duration;

use chrono::Offset as _;

pub(in crate::web) use super::time_zone::zone;
use crate::domain::model::{format, time::Timestamp};

pub(in crate::web) fn clock(at: Timestamp) -> String {
    format::clock(at, zone())
}

pub(in crate::web) fn instant(at: Timestamp, now: Timestamp) -> String {
    format::instant(at, now, zone())
}

pub(in crate::web) fn time_of_day(at: Timestamp) -> String {
    format::time_of_day(at, zone())
}

pub(in crate::web) fn moment(at: Timestamp, now: Timestamp) -> String {
    format::moment(at, now, zone())
}

pub(in crate::web) fn moment_in_words(at: Timestamp, now: Timestamp) -> String {
    format::moment_in_words(at, now, zone())
}

/// Formats the time of day of a point on an axis.
pub(in crate::web) fn minute(at: Timestamp) -> String {
    at.to_chrono()
        .with_timezone(&zone())
        .format("%H:%M")
        .to_string()
}

/// Formats a day: `Thu 19 Nov`.
pub(in crate::web) fn day(at: Timestamp) -> String {
    at.to_chrono()
        .with_timezone(&zone())
        .format("%a %-d %b")
        .to_string()
}

/// Formats a day of an axis: `19 Nov`.
pub(in crate::web) fn short_day(at: Timestamp) -> String {
    at.to_chrono()
        .with_timezone(&zone())
        .format("%-d %b")
        .to_string()
}

/// Formats a time with its zone, where no other time beside it shows the zone: `Thu 19 Nov 10:08
/// CET`.
pub(in crate::web) fn named(at: Timestamp, now: Timestamp) -> String {
    format!("{} {}", moment(at, now), zone_after(at))
}

/// Returns the earliest time not before `at` that is a multiple of `step` in the reader's zone, by its
/// offset at that time.
pub(in crate::web) fn ceil_to(at: Timestamp, step: Duration) -> Timestamp {
    let offset = at.to_chrono().with_timezone(&zone()).offset().fix();
    let east = offset.local_minus_utc();
    let shift = Duration::from_secs(u64::from(east.unsigned_abs()));
    if east < 0 {
        (at - shift).ceil_to(step) + shift
    } else {
        (at + shift).ceil_to(step) - shift
    }
}

/// Returns the name of the zone after a time: `UTC`, `CET`.
pub(in crate::web) fn zone_after(at: Timestamp) -> String {
    at.to_chrono()
        .with_timezone(&zone())
        .format("%Z")
        .to_string()
}

/// Returns the heading of a column of times: `At (Europe/Berlin)`.
pub(in crate::web) fn heading(what: &str) -> String {
    format!("{what} ({})", zone_name())
}

/// Returns the name of the zone: `UTC`, `Europe/Berlin`.
pub(in crate::web) fn zone_name() -> &'static str {
    zone().name()
}

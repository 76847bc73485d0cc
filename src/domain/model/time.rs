//! Instants, ranges and the buckets of counts.

use std::{
    borrow::Cow,
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in microseconds since the Unix epoch.
///
/// Microseconds because Postgres stores no more: OTLP's nanoseconds are truncated on construction,
/// so that a value is equal to itself after a round trip through the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const UNIX_EPOCH: Self = Self(0);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Converts from OTLP's nanoseconds. Every `u64` fits: the largest is in the year 2554.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self((nanos / 1_000).cast_signed())
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the seconds since the epoch, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Returns the seconds since the epoch with their fraction, for metrics and charts.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to the microsecond until the year 2255"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Returns the microseconds from `earlier` to `self`; negative if `earlier` is actually later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time from `earlier` to `self`, zero if `earlier` is actually later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(earlier)).unwrap_or(0))
    }

    /// Returns the latest multiple of `step` since the epoch that is not after `self`. `step` is a
    /// whole number of microseconds above zero.
    #[must_use]
    pub fn floor_to(self, step: Duration) -> Self {
        let step = micros(step).max(1);
        Self(self.0.div_euclid(step).saturating_mul(step))
    }

    /// Returns the earliest multiple of `step` since the epoch that is not before `self`.
    #[must_use]
    pub fn ceil_to(self, step: Duration) -> Self {
        let floor = self.floor_to(step);
        if floor == self { self } else { floor + step }
    }

    /// Converts to `chrono`. Instants beyond chrono's range (year 262142) are clamped.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// Formats RFC 3339 in UTC with milliseconds: `2026-11-22T06:18:28.315Z`.
    pub fn to_rfc3339(self) -> String {
        self.to_chrono()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Parses RFC 3339, also without seconds, as people write it in a URL: `2026-11-22T10:08Z`.
    pub fn parse_iso8601(text: &str) -> Option<Self> {
        let to_the_minute = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z").ok();
        Self::parse_rfc3339(text).or_else(|| to_the_minute().map(|at| Self(at.timestamp_micros())))
    }

    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|t| Self(t.timestamp_micros()))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(value: DateTime<Utc>) -> Self {
        Self(value.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(value: Timestamp) -> Self {
        value.to_chrono()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(
            &self
                .to_chrono()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(micros(rhs)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(micros(rhs)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A range of time; `from` is included, `to` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct TimeRange {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl TimeRange {
    pub const fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to }
    }

    /// Returns the range of `length` that ends at `to`.
    pub fn ending_at(to: Timestamp, length: Duration) -> Self {
        Self {
            from: to - length,
            to,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    pub fn length(&self) -> Duration {
        self.to.saturating_since(self.from)
    }
}

/// The length of one row of counts. Every event is counted once at each resolution, so that a
/// window of weeks is the sum of few rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    Minute,
    Hour,
    Day,
}

impl Resolution {
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }

    /// Returns the number that represents it in the database: its length in seconds.
    pub const fn as_secs(self) -> i32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// Returns the buckets whose sum is `range`, as few as possible: days in the middle, hours and
/// minutes towards both ends. `range` is first widened to whole minutes.
pub fn cover(range: TimeRange) -> Vec<(Resolution, TimeRange)> {
    let minute = Resolution::Minute.length();
    let range = TimeRange::new(range.from.floor_to(minute), range.to.ceil_to(minute));
    let mut parts = Vec::new();
    split(
        range,
        &[Resolution::Day, Resolution::Hour, Resolution::Minute],
        &mut parts,
    );
    parts
}

fn split(range: TimeRange, resolutions: &[Resolution], parts: &mut Vec<(Resolution, TimeRange)>) {
    let Some((&coarsest, finer)) = resolutions.split_first() else {
        return;
    };
    if range.is_empty() {
        return;
    }
    let inner = TimeRange::new(
        range.from.ceil_to(coarsest.length()),
        range.to.floor_to(coarsest.length()),
    );
    if inner.is_empty() {
        return split(range, finer, parts);
    }
    split(TimeRange::new(range.from, inner.from), finer, parts);
    parts.push((coarsest, inner));
    split(TimeRange::new(inner.to, range.to), finer, parts);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cover_is_the_range_in_whole_minutes_without_gap_or_overlap(
            from in 0_i64..10_000_000, length in 0_i64..10_000_000,
        ) {
            let range = TimeRange::new(Timestamp::from_secs(from), Timestamp::from_secs(from + length));
            let parts = cover(range);
            let mut next = range.from.floor_to(Resolution::Minute.length());
            for (resolution, part) in &parts {
                prop_assert_eq!(part.from, next);
                prop_assert!(!part.is_empty());
                prop_assert_eq!(part.from, part.from.floor_to(resolution.length()));
                prop_assert_eq!(part.to, part.to.floor_to(resolution.length()));
                next = part.to;
            }
            prop_assert_eq!(next, range.to.ceil_to(Resolution::Minute.length()).max(next));
            prop_assert!(parts.len() <= 5);
        }

        #[test]
        fn an_instant_survives_its_text(micros in 0_i64..4_000_000_000_000_000) {
            let at = Timestamp::from_micros(micros);
            let text = serde_json::to_string(&at).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), at);
        }
    }

    #[test]
    fn a_month_is_few_rows_and_not_forty_thousand() {
        let to = Timestamp::parse_rfc3339("2026-11-22T10:08:04Z").unwrap();
        let month = TimeRange::ending_at(to, Duration::from_hours(720));
        let rows: u64 = cover(month)
            .iter()
            .map(|(resolution, part)| part.length().as_secs() / resolution.length().as_secs())
            .sum();
        assert!(rows < 200, "{rows} rows");
    }

    #[test]
    fn nanoseconds_are_cut_and_not_rounded() {
        assert_eq!(Timestamp::from_unix_nanos(1_999), Timestamp::from_micros(1));
        assert_eq!(
            Timestamp::from_unix_nanos(u64::MAX).as_micros(),
            18_446_744_073_709_551
        );
    }
}

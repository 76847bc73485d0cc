//! The durations of a flow, and the resulting time limit.

use std::{collections::BTreeMap, time::Duration};

use super::message::span_attribute;
use crate::domain::{
    model::time::Timestamp,
    slo::{StartedAt, TimeUnit},
    workflow::{
        classify::started_at,
        shapes::{StoredSpan, TIME_UNITS},
    },
};

/// The longest time before a span at which its work plausibly began.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// The share of spans that must have a plausible time, in percent.
const NEARLY_ALL: usize = 95;
/// The minimum number of runs for a 95th percentile; below it the longest is used.
const ENOUGH_FOR_P95: usize = 20;
/// The minimum number of runs for a 99th percentile.
const ENOUGH_FOR_P99: usize = 200;

/// Usual time limits, in milliseconds.
const LIMITS: [u64; 30] = [
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    3_000,
    5_000,
    10_000,
    15_000,
    20_000,
    30_000,
    45_000,
    60_000,
    120_000,
    180_000,
    300_000,
    600_000,
    900_000,
    1_200_000,
    1_800_000,
    2_700_000,
    3_600_000,
    7_200_000,
    10_800_000,
    14_400_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
];

/// The durations of finished runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowDurations {
    pub median: Duration,
    pub p95: Duration,
    pub p99: Duration,
    pub runs: usize,
}

impl FlowDurations {
    /// Returns `None` if there are none. `sorted` has the shortest first.
    pub(super) fn of(sorted: &[Duration]) -> Option<Self> {
        Some(Self {
            median: percentile(sorted, 50)?,
            p95: percentile(sorted, 95)?,
            p99: percentile(sorted, 99)?,
            runs: sorted.len(),
        })
    }

    /// Returns the percentile that determines the time limit, and its duration: with few runs it is
    /// the longest.
    pub(super) fn decisive(&self) -> (u32, Duration) {
        if self.runs < ENOUGH_FOR_P95 {
            (100, self.p95)
        } else if self.runs < ENOUGH_FOR_P99 {
            (95, self.p95)
        } else {
            (99, self.p99)
        }
    }

    /// Returns the time limit: one and a half times that percentile, so that usual traffic does not
    /// spend the budget, rounded up to a usual value.
    pub(super) fn limit(&self) -> Duration {
        let (_, most) = self.decisive();
        let least = (most + most / 2).as_millis();
        let limits = LIMITS.into_iter();
        let mut fitting = limits.filter(|limit| u128::from(*limit) >= least);
        let days = most.as_secs() / 57_600 + 1;
        fitting
            .next()
            .map_or_else(|| Duration::from_hours(24 * days), Duration::from_millis)
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let place = (sorted.len() * percent).div_ceil(100);
    sorted.get(place.saturating_sub(1)).copied()
}

/// The attribute with the start time of a span's work.
#[derive(Clone, Debug)]
pub(super) struct StartAttribute {
    pub(super) key: String,
    pub(super) unit: &'static str,
    source: StartedAt,
}

impl StartAttribute {
    /// Returns the attribute with the earliest times that nearly all spans have.
    pub(super) fn of(spans: &[&StoredSpan]) -> Option<Self> {
        let mut found: BTreeMap<(&str, usize), (usize, i128)> = BTreeMap::new();
        for stored in spans {
            for (place, before) in plausible_times(stored) {
                let (spans, sum) = found.entry(place).or_default();
                *spans += 1;
                *sum += i128::from(before);
            }
        }
        let enough = found
            .into_iter()
            .filter(|(_, (having, _))| having * 100 >= spans.len() * NEARLY_ALL);
        let ((key, at), _) = enough.max_by_key(|(_, (_, before))| *before)?;
        let (unit, word) = *TIME_UNITS.get(at)?;
        Some(Self {
            key: key.to_owned(),
            unit: word,
            source: source(key, unit),
        })
    }

    /// Returns how long the work of the span took by this attribute.
    pub(super) fn duration(&self, stored: &StoredSpan) -> Option<Duration> {
        let before = plausible(stored, &self.source)?;
        u64::try_from(before).ok().map(Duration::from_micros)
    }
}

/// Returns the attributes of a span that may be such a time, each with the index of its unit, and
/// the microseconds from that time to the end of the span.
fn plausible_times(stored: &StoredSpan) -> impl Iterator<Item = ((&str, usize), i64)> {
    stored.keys().flat_map(move |key| {
        let units = TIME_UNITS.iter().enumerate();
        units.filter_map(move |(at, (unit, _))| {
            Some(((key, at), plausible(stored, &source(key, *unit))?))
        })
    })
}

fn source(key: &str, unit: TimeUnit) -> StartedAt {
    StartedAt::Attribute {
        attribute: span_attribute(key),
        unit,
    }
}

/// Returns the microseconds from a time to the end of its span; `None` if the work cannot plausibly
/// have begun at that time.
fn plausible(stored: &StoredSpan, source: &StartedAt) -> Option<i64> {
    let span = stored.span();
    let nanos = started_at::read(source, span)?;
    let started = Timestamp::from_micros(i64::try_from(nanos / 1_000).ok()?);
    let begin = Timestamp::from_unix_nanos(span.start_unix_nano);
    let end = Timestamp::from_unix_nanos(span.end_unix_nano);
    // The start or end of the span itself adds nothing.
    (started < begin && started >= end - LONGEST).then(|| end.micros_since(started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(secs: f64) -> Duration {
        let all = [Duration::from_secs_f64(secs); 10];
        FlowDurations::of(&all).unwrap().limit()
    }

    #[test]
    fn a_time_limit_is_what_people_would_write() {
        assert_eq!(limit(0.01), Duration::from_millis(50));
        assert_eq!(limit(5.4), Duration::from_secs(10));
        assert_eq!(limit(75.0), Duration::from_mins(2));
        assert_eq!(limit(40.0 * 3_600.0), Duration::from_hours(72));
    }

    #[test]
    fn few_runs_have_no_99th_percentile() {
        let runs = |count: u64| -> Vec<Duration> { (1..=count).map(Duration::from_secs).collect() };
        let of = |count| FlowDurations::of(&runs(count)).unwrap().decisive();
        assert_eq!(of(100), (95, Duration::from_secs(95)));
        assert_eq!(of(200), (99, Duration::from_secs(198)));
        assert_eq!(of(19), (100, Duration::from_secs(19)));
        assert_eq!(FlowDurations::of(&[]), None);
    }
}

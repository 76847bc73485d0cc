//! The counts around an incident, small enough to be kept permanently.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    alerting::burn_rate::{BurnContext, BurnRate, Window},
    counting::series::{Series, SeriesPoint},
    model::{
        counts::EventCounts,
        time::{TimeRange, Timestamp},
    },
};

/// The time shown before the first bad event, or before an alert whose first one is not known.
const BEFORE: Duration = Duration::from_hours(6);
/// The maximum number of points, including those before the part that is shown.
const MOST: u64 = 240;
const FINEST: Duration = Duration::from_mins(1);

/// The counts to read for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// In whole steps; begins one long window before the part that is shown.
    pub range: TimeRange,
    pub step: Duration,
    pub long: Duration,
    pub short: Duration,
}

/// Bad events by reason and burn rates, at equal steps. Version 1 of the stored form.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct IncidentSnapshot {
    pub from: Timestamp,
    #[serde(rename = "step_seconds")]
    pub step_secs: u64,
    #[serde(rename = "long_window_seconds")]
    pub long_secs: u64,
    #[serde(rename = "short_window_seconds")]
    pub short_secs: u64,
    /// The burn rate at which the rule fires.
    pub factor: f64,
    pub good: Vec<i64>,
    pub late: Vec<i64>,
    pub failed: Vec<i64>,
    pub timeout: Vec<i64>,
    /// At the end of each step; `None` without events.
    pub burn_long: Vec<Option<f64>>,
    pub burn_short: Vec<Option<f64>>,
}

impl SnapshotPlan {
    /// Plans a snapshot from some time before `first_bad` until `to`.
    pub fn new(first_bad: Timestamp, to: Timestamp, long: Duration, short: Duration) -> Self {
        let shown_from = (first_bad - BEFORE).min(to - BEFORE);
        let reach = to.saturating_since(shown_from) + long;
        let step = step(reach, short);
        Self {
            range: TimeRange::new((shown_from - long).floor_to(step), to.ceil_to(step)),
            step,
            long,
            short,
        }
    }
}

/// Returns the step in whole minutes: no longer than the short window, unless that gives too many
/// points.
fn step(reach: Duration, short: Duration) -> Duration {
    let minutes = |length: Duration| length.as_secs().div_ceil(60).max(1);
    let fewest = minutes(reach).div_ceil(MOST).max(1);
    let finest = fewest * FINEST.as_secs();
    let short = minutes(short) * 60;
    // A divisor of the short window makes its sums exact.
    let fitting = (1..=short / finest).rev().map(|parts| short / parts);
    let best = fitting
        .filter(|step| step % 60 == 0 && short.is_multiple_of(*step))
        .find(|step| *step >= finest);
    Duration::from_secs(best.unwrap_or(finest))
}

impl IncidentSnapshot {
    /// Makes a snapshot from the counts of the whole range of `plan`.
    pub fn new(
        plan: &SnapshotPlan,
        points: &[SeriesPoint],
        burn: &BurnContext,
        factor: f64,
    ) -> Self {
        let series = Series::new(plan.range, plan.step, points);
        let before = usize::try_from(plan.long.as_secs() / plan.step.as_secs().max(1));
        let first = before.unwrap_or(0).min(series.len());
        let each = || (first..series.len()).map(|at| series.sum(at, at + 1));
        let rates = |at: usize| {
            let long = Window {
                length: plan.long,
                counts: series.trailing(at + 1, plan.long).as_good(),
            };
            burn.burn_rates(long, series.trailing(at + 1, plan.short).as_good())
        };
        let rates: Vec<_> = (first..series.len()).map(rates).collect();
        Self {
            from: series.time(first),
            step_secs: plan.step.as_secs(),
            long_secs: plan.long.as_secs(),
            short_secs: plan.short.as_secs(),
            factor,
            good: each().map(|counts| counts.good).collect(),
            late: each().map(|counts| counts.late).collect(),
            failed: each().map(|counts| counts.failed).collect(),
            timeout: each().map(|counts| counts.timeout).collect(),
            burn_long: rates.iter().map(|both| both.long.map(rounded)).collect(),
            burn_short: rates.iter().map(|both| both.short.map(rounded)).collect(),
        }
    }

    pub fn step(&self) -> Duration {
        Duration::from_secs(self.step_secs.max(1))
    }

    pub fn range(&self) -> TimeRange {
        let points = u32::try_from(self.good.len()).unwrap_or(u32::MAX);
        TimeRange::new(self.from, self.from + self.step().saturating_mul(points))
    }

    pub fn counts(&self) -> Series {
        let points: Vec<SeriesPoint> = (0..self.good.len())
            .map(|at| {
                let of = |counts: &[i64]| counts.get(at).copied().unwrap_or(0);
                SeriesPoint {
                    at: self.time(at),
                    counts: EventCounts {
                        good: of(&self.good),
                        late: of(&self.late),
                        failed: of(&self.failed),
                        timeout: of(&self.timeout),
                        ..EventCounts::ZERO
                    },
                }
            })
            .collect();
        Series::new(self.range(), self.step(), &points)
    }

    /// Returns the burn rates of the long and the short window, each with the end of its step.
    pub fn burn(&self) -> impl Iterator<Item = (Timestamp, Option<f64>, Option<f64>)> + '_ {
        let both = self.burn_long.iter().zip(&self.burn_short);
        both.enumerate()
            .map(|(at, (long, short))| (self.time(at + 1), *long, *short))
    }

    fn time(&self, points: usize) -> Timestamp {
        let points = u32::try_from(points).unwrap_or(u32::MAX);
        self.from + self.step().saturating_mul(points)
    }
}

/// Rounds to the precision that a chart can show.
fn rounded(rate: BurnRate) -> f64 {
    (rate.value() * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    #[test]
    fn a_picture_of_an_hour_is_fine_and_one_of_a_week_is_small() {
        let at = Timestamp::from_secs(1_795_328_700);
        let minutes = Duration::from_mins;
        let fresh = SnapshotPlan::new(at, at, hours(1), minutes(5));
        assert_eq!(fresh.step, minutes(5));
        let week = SnapshotPlan::new(at - hours(168), at, hours(1), minutes(5));
        assert!(week.step > minutes(5));
        let slow = SnapshotPlan::new(at, at, hours(72), hours(6));
        assert_eq!(slow.step, minutes(20), "a part of the short window");
    }

    proptest! {
        #[test]
        fn a_picture_never_grows_beyond_its_points(
            lasted in 0_u64..5_000_000, long in 1_u64..4_500, parts in 1_u64..24,
        ) {
            let to = Timestamp::from_secs(1_795_328_711);
            let long = Duration::from_mins(long);
            let short = Duration::from_mins((long.as_secs() / 60 / parts).max(1));
            let plan = SnapshotPlan::new(to - Duration::from_secs(lasted), to, long, short);
            let points = plan.range.length().as_secs() / plan.step.as_secs();
            prop_assert!(points <= MOST + 3, "{points}");
            prop_assert_eq!(plan.step.as_secs() % 60, 0);
            prop_assert!(plan.range.to >= to && plan.range.from <= to - long - BEFORE);
        }
    }
}

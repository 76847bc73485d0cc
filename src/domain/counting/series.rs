//! Counts over time: sums of any stretch, and what the budget does next.

use std::time::Duration;

use crate::domain::model::{
    counts::EventCounts,
    objective::Objective,
    time::{TimeRange, Timestamp},
};

/// Counts of one point, by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    pub at: Timestamp,
    pub counts: EventCounts,
}

/// Points of equal length without gaps. The sum of any stretch of them costs two look-ups.
#[derive(Clone, Debug)]
pub struct Series {
    from: Timestamp,
    step: Duration,
    /// Sums of the first 0, 1, 2 ... points.
    sums: Vec<EventCounts>,
}

impl Series {
    /// `range` is in whole steps; points outside of it are ignored.
    pub fn new(range: TimeRange, step: Duration, points: &[SeriesPoint]) -> Self {
        let length = steps(range.length(), step);
        let mut counts = vec![EventCounts::ZERO; length];
        for point in points {
            let index = steps(point.at.saturating_since(range.from), step);
            if let Some(slot) = counts.get_mut(index).filter(|_| range.contains(point.at)) {
                *slot += point.counts;
            }
        }
        let mut sum = EventCounts::ZERO;
        let sums = std::iter::once(sum)
            .chain(counts.into_iter().map(|counts| {
                sum += counts;
                sum
            }))
            .collect();
        Self {
            from: range.from,
            step,
            sums,
        }
    }

    #[expect(
        clippy::len_without_is_empty,
        reason = "a series of no points is as good as any"
    )]
    pub fn len(&self) -> usize {
        self.sums.len() - 1
    }

    pub fn step(&self) -> Duration {
        self.step
    }

    /// The end of the first `end` points.
    pub fn time(&self, end: usize) -> Timestamp {
        self.from
            + self
                .step
                .saturating_mul(u32::try_from(end).unwrap_or(u32::MAX))
    }

    /// Points `first` to `last`, `last` not included.
    pub fn sum(&self, first: usize, last: usize) -> EventCounts {
        let at = |index: usize| {
            self.sums
                .get(index.min(self.len()))
                .copied()
                .unwrap_or_default()
        };
        at(last) + -at(first.min(last))
    }

    /// The stretch of `length` before the end of the first `end` points.
    pub fn trailing(&self, end: usize, length: Duration) -> EventCounts {
        self.sum(end.saturating_sub(steps(length, self.step).max(1)), end)
    }
}

fn steps(length: Duration, step: Duration) -> usize {
    usize::try_from(length.as_micros() / step.as_micros().max(1)).unwrap_or(usize::MAX)
}

/// Events per second that are assumed to go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub bad: f64,
    pub total: f64,
}

impl Rate {
    pub fn of(counts: EventCounts, length: Duration) -> Self {
        let secs = length.as_secs_f64().max(1.0);
        Self {
            bad: counts.weighted_bad() / secs,
            total: counts.weighted_total() / secs,
        }
    }

    /// The same traffic without a bad event.
    #[must_use]
    pub fn without_bad(self) -> Self {
        Self { bad: 0.0, ..self }
    }
}

/// The budget of the coming steps if `rate` goes on, with the past ageing out of the window.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn forecast(
    past: &Series,
    objective: Objective,
    window: Duration,
    rate: Rate,
) -> impl Iterator<Item = (Timestamp, f64)> {
    let in_window = steps(window, past.step);
    (1..=in_window / 4).filter_map(move |ahead| {
        let kept = past.sum((past.len() + ahead).saturating_sub(in_window), past.len());
        let secs = past.step.as_secs_f64() * ahead as f64;
        let total = kept.weighted_total() + rate.total * secs;
        let bad = kept.weighted_bad() + rate.bad * secs;
        (total > 0.0).then(|| {
            (
                past.time(past.len() + ahead),
                1.0 - bad / total / objective.budget_ratio(),
            )
        })
    })
}

/// The budget of which `left` is left over the `rest` of a period, if such a share of it goes on being
/// spent every second: nothing ages out.
pub fn burn_down(
    rest: TimeRange,
    left: f64,
    share_per_sec: f64,
) -> impl Iterator<Item = (Timestamp, f64)> {
    (1..=BURN_DOWN_POINTS).map(move |point| {
        let passed = rest.length() * point / BURN_DOWN_POINTS;
        let spent = share_per_sec * passed.as_secs_f64();
        (rest.from + passed, left - spent)
    })
}

const BURN_DOWN_POINTS: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alerting::burn_rate::budget_remaining;

    const HOUR: Duration = Duration::from_hours(1);

    fn series(bad: &[i64]) -> Series {
        let points: Vec<SeriesPoint> = bad
            .iter()
            .zip(0..)
            .map(|(&late, hour)| SeriesPoint {
                at: Timestamp::from_secs(hour * 3_600),
                counts: EventCounts {
                    good: 100 - late,
                    late,
                    ..EventCounts::ZERO
                },
            })
            .collect();
        let to = Timestamp::UNIX_EPOCH + HOUR.saturating_mul(u32::try_from(bad.len()).unwrap());
        Series::new(TimeRange::new(Timestamp::UNIX_EPOCH, to), HOUR, &points)
    }

    #[test]
    fn a_stretch_is_the_sum_of_its_points_and_never_reaches_before_the_first() {
        let series = series(&[1, 2, 4, 8]);
        assert_eq!(series.trailing(3, 2 * HOUR).late, 6);
        assert_eq!(series.trailing(2, 9 * HOUR).late, 3);
        assert_eq!(series.sum(3, 99).late, 8);
        assert_eq!(series.sum(3, 1).late, 0);
    }

    #[test]
    fn a_budget_recovers_when_bad_hours_age_out_of_the_window() {
        let objective = "90%".parse().unwrap();
        let series = series(&[40, 0, 0, 0, 0, 0, 0, 0]);
        let now = budget_remaining(series.trailing(8, 8 * HOUR), objective).unwrap();
        let rate = Rate::of(series.trailing(8, HOUR), HOUR).without_bad();
        let next: Vec<f64> = forecast(&series, objective, 8 * HOUR, rate)
            .map(|(_, left)| left)
            .collect();
        assert!((now - 0.5).abs() < 1e-9, "{now}");
        assert_eq!(next.len(), 2);
        assert!(
            next.iter().all(|left| (left - 1.0).abs() < 1e-9),
            "{next:?}"
        );
    }

    #[test]
    fn no_events_leave_no_budget_to_speak_of() {
        let objective = "99%".parse().unwrap();
        let none = Series::new(series(&[]).time_range(), HOUR, &[]);
        assert_eq!(budget_remaining(none.trailing(0, HOUR), objective), None);
        assert_eq!(
            forecast(
                &none,
                objective,
                8 * HOUR,
                Rate {
                    bad: 0.0,
                    total: 0.0
                }
            )
            .count(),
            0
        );
    }

    #[test]
    fn the_budget_of_a_period_burns_down_to_its_end_and_recovers_nothing() {
        let rest = TimeRange::new(Timestamp::UNIX_EPOCH, Timestamp::from_secs(5_600));
        let points: Vec<_> = burn_down(rest, 0.5, 1e-4).collect();
        assert_eq!(points.last().unwrap().0, rest.to);
        assert!((points[9].1 - 0.4).abs() < 1e-9, "{:?}", points[9]);
        assert!((points[55].1 + 0.06).abs() < 1e-9, "{:?}", points[55]);
    }

    impl Series {
        fn time_range(&self) -> TimeRange {
            TimeRange::new(self.from, self.time(self.len()))
        }
    }
}

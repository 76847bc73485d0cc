//! Counts over time, with fast sums of any range.

use std::time::Duration;

use crate::domain::model::{
    counts::EventCounts,
    time::{TimeRange, Timestamp},
};

/// Counts of one point, by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    pub at: Timestamp,
    pub counts: EventCounts,
}

/// Points of equal length without gaps. The sum of any range of them costs two look-ups.
#[derive(Clone, Debug)]
pub struct Series {
    from: Timestamp,
    step: Duration,
    /// Sums of the first 0, 1, 2 ... points.
    sums: Vec<EventCounts>,
}

impl Series {
    /// Makes a series. `range` is in whole steps; points outside of it are ignored.
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

    /// Returns the time of the end of the first `end` points.
    pub fn time(&self, end: usize) -> Timestamp {
        self.from
            + self
                .step
                .saturating_mul(u32::try_from(end).unwrap_or(u32::MAX))
    }

    /// Returns the sum of points `first` to `last`, `last` excluded.
    pub fn sum(&self, first: usize, last: usize) -> EventCounts {
        let at = |index: usize| {
            self.sums
                .get(index.min(self.len()))
                .copied()
                .unwrap_or_default()
        };
        at(last) + -at(first.min(last))
    }

    /// Returns the sum of the range of `length` before the end of the first `end` points.
    pub fn trailing(&self, end: usize, length: Duration) -> EventCounts {
        self.sum(end.saturating_sub(steps(length, self.step).max(1)), end)
    }
}

fn steps(length: Duration, step: Duration) -> usize {
    usize::try_from(length.as_micros() / step.as_micros().max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

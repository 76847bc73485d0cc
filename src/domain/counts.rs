//! Good and bad events, counted by outcome.

use std::ops::{Add, AddAssign, Neg};

use serde::{Deserialize, Serialize};

/// Sums of events by outcome. Integers, so that a sum is the same in any order; signed, since a
/// correction takes an event out of the bucket that it was in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventCounts {
    pub good: i64,
    /// Bad: finished, but after the deadline.
    pub late: i64,
    /// Bad: ended in failure.
    pub failed: i64,
    /// Bad: the deadline passed and nothing has been heard of it since.
    pub timeout: i64,
    /// Not events: cancelled in time.
    pub cancelled: i64,
    /// Not events: evidence of an end whose start never came.
    pub orphan: i64,
    /// Not events: evidence that contradicts itself, as an end long before its start.
    pub invalid: i64,
}

impl EventCounts {
    pub const ZERO: Self = Self {
        good: 0,
        late: 0,
        failed: 0,
        timeout: 0,
        cancelled: 0,
        orphan: 0,
        invalid: 0,
    };

    pub const fn bad(&self) -> i64 {
        self.late + self.failed + self.timeout
    }

    /// Events of the SLO: good and bad. What was cancelled, orphaned or invalid is none.
    pub const fn total(&self) -> i64 {
        self.good + self.bad()
    }

    pub const fn is_zero(&self) -> bool {
        self.good == 0
            && self.bad() == 0
            && self.late == 0
            && self.failed == 0
            && self.cancelled == 0
            && self.orphan == 0
            && self.invalid == 0
    }

    /// The share of events that were bad, in [0, 1]; `None` without events.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn bad_ratio(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.bad() as f64 / self.total() as f64)
    }

    /// The share of events that were good, in [0, 1]; `None` without events.
    pub fn good_ratio(&self) -> Option<f64> {
        self.bad_ratio().map(|bad| 1.0 - bad)
    }
}

impl Add for EventCounts {
    type Output = Self;

    fn add(self, rhs: Self) -> Self {
        Self {
            good: self.good + rhs.good,
            late: self.late + rhs.late,
            failed: self.failed + rhs.failed,
            timeout: self.timeout + rhs.timeout,
            cancelled: self.cancelled + rhs.cancelled,
            orphan: self.orphan + rhs.orphan,
            invalid: self.invalid + rhs.invalid,
        }
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl Neg for EventCounts {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            good: -self.good,
            late: -self.late,
            failed: -self.failed,
            timeout: -self.timeout,
            cancelled: -self.cancelled,
            orphan: -self.orphan,
            invalid: -self.invalid,
        }
    }
}

impl std::iter::Sum for EventCounts {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

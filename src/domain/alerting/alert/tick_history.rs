//! The continuity of evaluation, tick by tick.

use std::time::Duration;

use crate::domain::model::time::Timestamp;

/// The number of consecutive ticks after a gap before a state may change: by then data has arrived
/// that was delayed by a pause of the machine, a database failover or an outage of the service.
const SETTLED: u8 = 2;

/// The time of an SLO's last evaluation, and how many ticks have been on time since the last gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickHistory {
    pub last_at: Timestamp,
    /// Counted up to two.
    pub steady_ticks: u8,
}

/// The interval between a tick and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickGap {
    InTime,
    /// There was no evaluation for some time.
    AfterGap,
    /// It is earlier than the one before: a clock was set back, or two clocks disagree.
    Backwards,
}

/// The permission to change states, given by the continuity of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    Continuous,
    /// There was no evaluation for some time: earlier states cannot be relied upon.
    AfterGap,
}

impl TickHistory {
    /// Makes the history at the first evaluation ever, before which nothing can have been missed.
    pub const fn first(at: Timestamp) -> Self {
        Self {
            last_at: at,
            steady_ticks: SETTLED,
        }
    }

    #[must_use]
    pub fn next(self, at: Timestamp, longest_pause: Duration) -> (Self, TickGap) {
        let gap = if at < self.last_at {
            TickGap::Backwards
        } else if at.saturating_since(self.last_at) > longest_pause {
            TickGap::AfterGap
        } else {
            TickGap::InTime
        };
        let steady_ticks = match gap {
            TickGap::InTime => self.steady_ticks.saturating_add(1).min(SETTLED),
            TickGap::AfterGap | TickGap::Backwards => 0,
        };
        let next = Self {
            last_at: at,
            steady_ticks,
        };
        (next, gap)
    }

    pub const fn continuity(self) -> Continuity {
        if self.steady_ticks >= SETTLED {
            Continuity::Continuous
        } else {
            Continuity::AfterGap
        }
    }
}

/// Evaluated time that accumulates; time without an evaluation or a verdict adds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluatedTime {
    pub so_far: Duration,
    /// The last tick that was added or skipped.
    pub until: Timestamp,
}

impl EvaluatedTime {
    pub const fn starting(at: Timestamp) -> Self {
        Self {
            so_far: Duration::ZERO,
            until: at,
        }
    }

    #[must_use]
    pub fn counting_to(self, at: Timestamp) -> Self {
        Self {
            so_far: self.so_far + at.saturating_since(self.until),
            until: at,
        }
    }

    #[must_use]
    pub const fn passing_over_to(self, at: Timestamp) -> Self {
        Self { until: at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_790_000_000) + Duration::from_secs(secs)
    }

    /// Returns the gap before each tick, and whether states may change then.
    fn gaps(secs: &[u64]) -> Vec<(TickGap, Continuity)> {
        let mut ticks = TickHistory::first(at(secs[0]));
        let rest = secs[1..].iter().map(|secs| {
            let (next, gap) = ticks.next(at(*secs), PAUSE);
            ticks = next;
            (gap, ticks.continuity())
        });
        rest.collect()
    }

    #[test]
    fn t03_states_may_change_at_the_second_good_tick_after_a_gap() {
        use TickGap::{AfterGap, InTime};
        assert_eq!(
            gaps(&[0, 5, 100, 105, 110]),
            [
                (InTime, Continuity::Continuous),
                (AfterGap, Continuity::AfterGap),
                (InTime, Continuity::AfterGap),
                (InTime, Continuity::Continuous),
            ]
        );
    }

    #[test]
    fn t03_another_gap_starts_the_count_afresh() {
        let all = gaps(&[0, 100, 105, 200, 205]);
        assert!(all.iter().all(|(_, may)| *may == Continuity::AfterGap));
    }

    #[test]
    fn t04_a_clock_set_back_is_refused_and_gone_on_from() {
        use TickGap::{Backwards, InTime};
        assert_eq!(
            gaps(&[1_000, 5, 10, 15]),
            [
                (Backwards, Continuity::AfterGap),
                (InTime, Continuity::AfterGap),
                (InTime, Continuity::Continuous),
            ]
        );
    }

    #[test]
    fn only_evaluated_time_adds_up() {
        let stretch = EvaluatedTime::starting(at(0)).counting_to(at(5));
        let stretch = stretch.passing_over_to(at(500)).counting_to(at(505));
        assert_eq!(stretch.so_far, Duration::from_secs(10));
        assert_eq!(stretch.counting_to(at(7)).so_far, stretch.so_far);
    }
}

//! Ends that are missing although a sampler may have dropped any of them.
//!
//! If ends are sampled independently of their starts, a single workflow without an end proves
//! nothing, but many do: a known share of the ends must have been kept. A shortfall beyond chance
//! counts as timeouts, so that a stall is also noticed here.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    model::{
        counts::{EventCounts, whole},
        format,
        sampling::{EndSampling, Weight},
        time::TimeRange,
    },
    slo::{Indicator, Slo},
};

/// With fewer expected ends, nothing is concluded.
const LEAST_EXPECTED: f64 = 50.0;
/// The shortfall in standard deviations: chance alone exceeds it once in three million windows.
const DEVIATIONS: f64 = 5.0;

/// The expected number of ends, for an SLO where a single missing end proves nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedEnds {
    /// The probability that a sampler keeps the end of a workflow.
    chance: f64,
    /// The maximum time before its deadline at which a workflow may end.
    within: Duration,
}

/// A number of ends in a window that is too low to be chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct EndShortfall {
    /// Workflows whose end arrived.
    pub arrived: i64,
    /// The expected number of them.
    pub expected: i64,
}

impl ExpectedEnds {
    /// Returns `None` if a single missing end is proof by itself.
    pub fn of(slo: &Slo, learned: EndSampling) -> Option<Self> {
        let Indicator::Workflow(workflow) = &slo.indicator else {
            return None;
        };
        let chance = slo.weighing.ends(learned).chance_of_unseen()?;
        Some(Self {
            chance,
            within: workflow.within,
        })
    }

    /// Returns the maximum time before its deadline at which a workflow may end.
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// Returns the range of the ends of workflows with a deadline in `deadlines`. It may contain
    /// ends of other workflows; these can hide a shortfall, but do not cause one when traffic
    /// falls.
    pub fn range_of_ends(&self, deadlines: TimeRange) -> TimeRange {
        TimeRange::new(deadlines.from - self.within, deadlines.to)
    }

    /// Returns the shortfall among the workflows that were `due`, by those that `ended` in
    /// [`Self::range_of_ends`].
    pub fn shortfall(&self, due: EventCounts, ended: EventCounts) -> Option<EndShortfall> {
        let arrived = ended.total() + ended.cancelled + ended.unusable();
        let expected = count(arrived + due.unobservable) * self.chance;
        let noise = DEVIATIONS * (expected * (1.0 - self.chance)).sqrt();
        (expected >= LEAST_EXPECTED && count(arrived) < expected - noise).then(|| EndShortfall {
            arrived,
            expected: whole(expected),
        })
    }

    /// Returns the timeouts that a shortfall represents: for each missing end, as many workflows as
    /// are needed for one kept end. They have the weight of the `usual` events without the sampling
    /// of the end.
    pub fn timeouts(&self, shortfall: EndShortfall, usual: EventCounts) -> EventCounts {
        let timeouts = EventCounts {
            timeout: whole(count(shortfall.missing()) / self.chance),
            ..EventCounts::ZERO
        };
        let weight = match usual.total() {
            ..=0 => 1.0,
            total => usual.weighted_total() / count(total) * self.chance,
        };
        timeouts.standing_for(Some(Weight::from_millionths(whole(weight * 1e6))))
    }
}

#[cfg(test)]
impl ExpectedEnds {
    /// Makes the expectation for workflows of a minute.
    pub const fn with_chance(chance: f64) -> Self {
        Self {
            chance,
            within: Duration::from_mins(1),
        }
    }
}

impl EndShortfall {
    pub const fn missing(&self) -> i64 {
        self.expected - self.arrived
    }

    /// Formats `ends missing: 3 of 150 expected have come`.
    pub fn text(&self) -> String {
        format!(
            "ends missing: {} of {} expected have come",
            format::count(self.arrived),
            format::count(self.expected)
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn count(events: i64) -> f64 {
    events as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the shortfall of 1,500 starts, of whose ends a tenth is kept and `arrived` have
    /// arrived.
    fn shortfall(arrived: i64) -> Option<EndShortfall> {
        let due = EventCounts {
            good: arrived,
            unobservable: 1_500 - arrived,
            ..EventCounts::ZERO
        };
        ExpectedEnds::with_chance(0.1).shortfall(due, due)
    }

    #[test]
    fn s37_fewer_ends_than_chance_explains_are_a_shortfall() {
        // 150 are expected, with a standard deviation of 11.6.
        assert_eq!(shortfall(150), None);
        assert_eq!(shortfall(92), None);
        let found = shortfall(3).unwrap();
        assert_eq!((found.arrived, found.expected), (3, 150));
        assert_eq!(found.text(), "ends missing: 3 of 150 expected have come");
        assert!(shortfall(91).is_some());
    }

    #[test]
    fn s37_of_fewer_than_50_expected_ends_nothing_is_concluded() {
        let due = |unobservable| EventCounts {
            unobservable,
            ..EventCounts::ZERO
        };
        let tenth = ExpectedEnds::with_chance(0.1);
        assert_eq!(tenth.shortfall(due(499), EventCounts::ZERO), None);
        assert!(tenth.shortfall(due(500), EventCounts::ZERO).is_some());
    }

    #[test]
    fn s37_work_of_a_burst_that_ended_before_the_window_of_its_deadlines_is_not_missing() {
        let due = EventCounts {
            unobservable: 900,
            ..EventCounts::ZERO
        };
        let ended = EventCounts {
            good: 100,
            unobservable: 900,
            ..EventCounts::ZERO
        };
        let tenth = ExpectedEnds::with_chance(0.1);
        assert_eq!(tenth.shortfall(due, ended), None);
        assert!(tenth.shortfall(due, due).is_some());
    }

    #[test]
    fn s37_what_lacks_counts_as_the_workflows_that_it_stands_for() {
        let tenth = ExpectedEnds::with_chance(0.1);
        let lacks = EndShortfall {
            arrived: 3,
            expected: 150,
        };
        // All starts are kept, so each kept end represents ten workflows.
        let usual = EventCounts {
            good: 100,
            sampled: 100,
            unseen_good: 900_000_000,
            ..EventCounts::ZERO
        };
        let timeouts = tenth.timeouts(lacks, usual);
        assert_eq!((timeouts.timeout, timeouts.unseen_bad), (1_470, 0));
        // A tenth of the starts is kept as well.
        let usual = EventCounts {
            unseen_good: 9_900_000_000,
            ..usual
        };
        let timeouts = tenth.timeouts(lacks, usual);
        assert!((timeouts.weighted_bad() - 14_700.0).abs() < 1e-6);
        // Nothing has ever ended.
        assert_eq!(tenth.timeouts(lacks, EventCounts::ZERO).bad(), 1_470);
    }

    proptest! {
        /// An additional workflow without an end never hides a shortfall.
        #[test]
        fn s37_starts_that_do_not_end_only_add_to_a_shortfall(
            arrived in 0_i64..10_000,
            unobservable in 0_i64..100_000,
            chance in 0.01..0.99,
        ) {
            let due = EventCounts { good: arrived, unobservable, ..EventCounts::ZERO };
            let more = EventCounts { unobservable: unobservable + 1, ..due };
            let ends = ExpectedEnds::with_chance(chance);
            if let Some(found) = ends.shortfall(due, due) {
                let grown = ends.shortfall(more, more);
                prop_assert!(grown.is_some_and(|grown| grown.missing() >= found.missing()));
            }
        }
    }
}

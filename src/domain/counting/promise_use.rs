//! How much of the promise the workflows in flight have used.

use serde::{Deserialize, Serialize};

use crate::domain::slo::PROMISE_STEPS;

/// Workflows in flight by the share of the promised time that has passed since they started. Pauses
/// count as used, since they are known only when they are over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromiseUse(Vec<i64>);

impl PromiseUse {
    /// Makes it from the number of workflows by step of the promise; after the last of
    /// [`PROMISE_STEPS`] the promise is broken.
    pub fn new(by_step: impl IntoIterator<Item = (u8, i64)>) -> Self {
        let mut workflows = vec![0; usize::from(PROMISE_STEPS) + 1];
        for (step, count) in by_step {
            if let Some(known) = workflows.get_mut(usize::from(step.min(PROMISE_STEPS))) {
                *known += count;
            }
        }
        Self(workflows)
    }

    /// Returns the number of all workflows in flight.
    pub fn in_flight(&self) -> i64 {
        self.0.iter().sum()
    }

    /// Returns the number of workflows that have used at least this many steps.
    pub fn since_step(&self, step: u8) -> i64 {
        self.0.iter().skip(usize::from(step)).sum()
    }

    /// Returns the numbers by tenth of the promise; the eleventh is of broken promises.
    pub fn tenths(&self) -> Vec<i64> {
        self.0.chunks(2).map(|steps| steps.iter().sum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_are_counted_by_tenth_and_from_a_step_on() {
        let used = PromiseUse::new([(0, 5), (1, 2), (15, 3), (16, 4), (20, 1), (200, 1)]);
        assert_eq!(used.in_flight(), 16);
        assert_eq!(used.since_step(16), 6);
        assert_eq!(used.tenths(), [7, 0, 0, 0, 0, 0, 0, 3, 4, 0, 2]);
        assert_eq!(PromiseUse::default().since_step(0), 0);
    }
}

//! The share of their time limit that the workflows in flight have used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    counting::JudgedWorkflow,
    model::time::Timestamp,
    slo::TIME_LIMIT_STEPS,
    workflow::{Deadline, Outcome},
};

/// The bucket of open workflows: a short range of starts, and the time limit. It is fine enough
/// that results are off by less than a sixtieth of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenBucket {
    /// Start of the range, a multiple of its length.
    pub started_from: Timestamp,
    pub length: Duration,
    /// The time from start to deadline. Pauses that are over extend it.
    pub within: Duration,
}

impl OpenBucket {
    /// Returns the bucket of a workflow; `None` unless it has started and is open.
    pub fn of(judged: &JudgedWorkflow) -> Option<Self> {
        let start = judged.workflow.start?;
        let (Deadline::Within(within), Outcome::Open) = (start.deadline, judged.verdict.outcome)
        else {
            return None;
        };
        let length = length(within);
        let deadline = judged.workflow.details.deadline(start.at, within);
        let extension = deadline.saturating_since(start.at + within);
        Some(Self {
            started_from: start.at.floor_to(length),
            length,
            within: within + round_up(extension, length),
        })
    }

    /// Returns the step of the time limit that its workflows have reached at `now`.
    pub fn step(&self, now: Timestamp) -> u8 {
        let passed = now.saturating_since(self.started_from).as_micros();
        let steps = passed * u128::from(TIME_LIMIT_STEPS) / self.within.as_micros().max(1);
        u8::try_from(steps)
            .unwrap_or(TIME_LIMIT_STEPS)
            .min(TIME_LIMIT_STEPS)
    }

    /// Returns whether the deadlines of all its workflows are before `now`.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.started_from + self.length + self.within <= now
    }
}

/// Returns the largest power of two of microseconds that is at most a 64th of `within`.
fn length(within: Duration) -> Duration {
    let most = u64::try_from(within.as_micros() / 64).unwrap_or(u64::MAX);
    Duration::from_micros(1 << most.max(1).ilog2())
}

fn round_up(time: Duration, step: Duration) -> Duration {
    let steps = time.as_micros().div_ceil(step.as_micros().max(1));
    step.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Workflows in flight by the used share of their time limit. A pause counts as used until it is
/// over, since it is known only then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeUsed(Vec<i64>);

impl TimeUsed {
    /// Makes it from the number of workflows by step of the time limit; after the last of
    /// [`TIME_LIMIT_STEPS`] the deadline has passed.
    pub fn new(by_step: impl IntoIterator<Item = (u8, i64)>) -> Self {
        let mut workflows = vec![0; usize::from(TIME_LIMIT_STEPS) + 1];
        for (step, count) in by_step {
            if let Some(known) = workflows.get_mut(usize::from(step.min(TIME_LIMIT_STEPS))) {
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

    /// Returns the numbers by tenth of the time limit; the eleventh is past the deadline.
    pub fn tenths(&self) -> Vec<i64> {
        self.0.chunks(2).map(|steps| steps.iter().sum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        model::ids::{Revision, TraceId},
        workflow::{Details, Start, TraceRef, Verdict, Workflow},
    };

    fn open(started_at: Timestamp, within: Duration) -> JudgedWorkflow {
        let due = started_at + within;
        JudgedWorkflow {
            workflow: Workflow {
                revision: Revision::default(),
                label: "order-1".to_owned(),
                start: Some(Start {
                    at: started_at,
                    deadline: Deadline::Within(within),
                }),
                success: None,
                failure: None,
                late: None,
                cancelled: None,
                trace: TraceRef::OfStart(TraceId::from_slice(&[1; 16]).unwrap()),
                customer: None,
                first_evidence_at: None,
                details: Details::default(),
            },
            verdict: Verdict {
                outcome: Outcome::Open,
                at: None,
                due: Some(due),
            },
            weight: None,
        }
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_early_with_overdue_nor_late_with_a_step(
            started in 0_i64..1 << 50, within in 1_u64..1 << 42, passed in 0_u64..1 << 43,
        ) {
            let (started, within) = (Timestamp::from_micros(started), Duration::from_micros(within));
            let now = started + Duration::from_micros(passed);
            let bucket = OpenBucket::of(&open(started, within)).unwrap();
            prop_assert!(bucket.length <= (within / 64).max(Duration::from_micros(1)));
            prop_assert!(bucket.started_from <= started && started < bucket.started_from + bucket.length);
            prop_assert!(!bucket.is_overdue(now) || started + within < now);
            prop_assert!(bucket.is_overdue(now + bucket.length) || now < started + within);
            let exact = u128::from(passed) * u128::from(TIME_LIMIT_STEPS) / within.as_micros();
            prop_assert!(u128::from(bucket.step(now)) >= exact.min(u128::from(TIME_LIMIT_STEPS)));
        }
    }

    #[test]
    fn a_judged_workflow_is_in_no_bucket() {
        let mut judged = open(Timestamp::from_secs(60), Duration::from_mins(1));
        judged.verdict.outcome = Outcome::Good;
        assert_eq!(OpenBucket::of(&judged), None);
    }

    #[test]
    fn workflows_are_counted_by_tenth_and_from_a_step_on() {
        let used = TimeUsed::new([(0, 5), (1, 2), (15, 3), (16, 4), (20, 1), (200, 1)]);
        assert_eq!(used.in_flight(), 16);
        assert_eq!(used.since_step(16), 6);
        assert_eq!(used.tenths(), [7, 0, 0, 0, 0, 0, 0, 3, 4, 0, 2]);
        assert_eq!(TimeUsed::default().since_step(0), 0);
    }
}

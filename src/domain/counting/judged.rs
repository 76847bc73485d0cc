//! A workflow with its verdict.

use crate::domain::{
    model::{counts::EventCounts, sampling::Weight},
    workflow::{Verdict, Workflow},
};

/// A workflow and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedWorkflow {
    pub workflow: Workflow,
    pub verdict: Verdict,
    /// The sampling weight of its event; `None` if nothing was sampled, so that it counts as one.
    pub weight: Option<Weight>,
}

impl JudgedWorkflow {
    /// Returns what it adds to the counts.
    pub fn counts(&self) -> EventCounts {
        self.verdict.outcome.counts().standing_for(self.weight)
    }

    /// Returns whether `other` has the same evidence and verdict. Attributes that are kept for the
    /// sample are no evidence: which events keep them depends on what else a process has seen.
    pub fn is_same_but_for_sample(&self, other: &Self) -> bool {
        let attributes = |one: &Self| one.workflow.details.attributes.is_some();
        if !attributes(self) && !attributes(other) {
            return self == other;
        }
        let without_sample = |one: &Self| {
            let mut one = one.clone();
            one.workflow.details.attributes = None;
            one
        };
        without_sample(self) == without_sample(other)
    }
}

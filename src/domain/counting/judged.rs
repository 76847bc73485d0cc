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
}

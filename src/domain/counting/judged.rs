//! A workflow with its verdict.

use crate::domain::{
    model::{counts::EventCounts, sampling::Weight},
    workflow::{Verdict, Workflow},
};

/// A workflow and how it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedWorkflow {
    pub workflow: Workflow,
    pub verdict: Verdict,
    /// What its event stands for; `None` where nothing was sampled, and it counts itself.
    pub weight: Option<Weight>,
}

impl JudgedWorkflow {
    /// What it adds to the counts.
    pub fn counts(&self) -> EventCounts {
        self.verdict.outcome.counts().standing_for(self.weight)
    }
}

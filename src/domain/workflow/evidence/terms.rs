//! What a workflow is judged by besides its promise.

use serde::{Deserialize, Serialize};

use crate::domain::{
    model::time::Timestamp,
    slo::{CancelPolicy, Completion},
};

/// As the definition had it when the workflow started; what is defined later holds for later starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JudgingTerms {
    /// The start that they belong to: another one, if it is the earlier, has terms of its own or none.
    pub of: Timestamp,
    /// Which legs must succeed; `None` without fan-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Completion>,
    pub cancelled: CancelPolicy,
}

impl JudgingTerms {
    /// `None` where all of it is as if left out.
    pub fn new(
        of: Timestamp,
        complete: Option<Completion>,
        cancelled: CancelPolicy,
    ) -> Option<Self> {
        let is_default = complete.is_none() && cancelled == CancelPolicy::Exclude;
        (!is_default).then_some(Self {
            of,
            complete,
            cancelled,
        })
    }
}

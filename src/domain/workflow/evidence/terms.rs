//! The terms of a workflow's verdict other than its time limit.

use serde::{Deserialize, Serialize};

use crate::domain::{
    model::time::Timestamp,
    slo::{CancelPolicy, Completion},
};

/// The terms of the definition when the workflow started; later definitions apply to later starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JudgingTerms {
    /// The start that they belong to: if another start is earlier, it has terms of its own or none.
    pub of: Timestamp,
    /// The legs that must succeed; `None` without fan-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Completion>,
    pub cancelled: CancelPolicy,
}

impl JudgingTerms {
    /// Makes terms; `None` if all of them have their defaults.
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

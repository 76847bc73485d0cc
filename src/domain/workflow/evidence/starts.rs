//! Remarks on the start spans of a workflow.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A set of remarks, empty for most workflows. Joined by union.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartRemarks(BTreeSet<StartRemark>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartRemark {
    /// Several start spans began at different times.
    Several,
    /// A start span receives a message, so another one may be its redelivery.
    Received,
    /// A start span published several messages, and nothing distinguishes them.
    Batch,
}

impl StartRemarks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, remark: StartRemark) -> bool {
        self.0.contains(&remark)
    }

    pub(super) fn add(&mut self, remark: StartRemark) {
        self.0.insert(remark);
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

//! Remarks on the start spans of a workflow.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::model::ids::SpanId;

/// The limit of messages that are stored: two show that there are several.
const MOST_MESSAGES: usize = 2;

/// A set of remarks, empty for most workflows. Joined by union; of messages the smallest are kept.
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
    /// An end arrived by a message that this span sent, in the trace of the start.
    Message(SpanId),
}

impl StartRemarks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, remark: StartRemark) -> bool {
        self.0.contains(&remark)
    }

    /// Returns whether ends arrived by several messages.
    pub fn has_several_messages(&self) -> bool {
        self.messages().nth(1).is_some()
    }

    pub(super) fn add(&mut self, remark: StartRemark) {
        self.0.insert(remark);
        self.limit_messages();
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.limit_messages();
    }

    fn messages(&self) -> impl Iterator<Item = StartRemark> + '_ {
        let is_message = |remark: &StartRemark| matches!(remark, StartRemark::Message(_));
        self.0.iter().copied().filter(is_message)
    }

    fn limit_messages(&mut self) {
        let surplus: Vec<StartRemark> = self.messages().skip(MOST_MESSAGES).collect();
        self.0.retain(|remark| !surplus.contains(remark));
    }
}

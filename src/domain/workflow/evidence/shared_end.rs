//! The end that a batch assigns to each of its workflows.

use serde::{Deserialize, Serialize};

use crate::domain::model::time::Timestamp;

/// The end that a group assigns to a workflow. It is not the evidence of a span, and is replaced
/// whenever the group changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedEnd {
    /// None is left for it.
    None,
    /// None is left for it, or for another one that is counted in another group.
    NoneOfSeveralGroups,
    Succeeded(Timestamp),
    Failed(Timestamp),
    Cancelled(Timestamp),
    /// There are more ends than workflows, so several of them belong to one workflow: whether this
    /// one has ended is unknown.
    MoreEndsThanWorkflows,
    /// One end arrived for all of them: it may have ended the whole batch or one message.
    OneEndForAll,
    /// The group has more than 1,000 workflows.
    TooManyWorkflows,
}

impl SharedEnd {
    /// Returns when it ended.
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::Succeeded(at) | Self::Failed(at) | Self::Cancelled(at) => Some(at),
            Self::None
            | Self::NoneOfSeveralGroups
            | Self::MoreEndsThanWorkflows
            | Self::OneEndForAll
            | Self::TooManyWorkflows => None,
        }
    }
}

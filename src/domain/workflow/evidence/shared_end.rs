//! What workflows that went through one batch are given of the ends behind it.

use serde::{Deserialize, Serialize};

use crate::domain::model::time::Timestamp;

/// What a group gives a workflow. It is no evidence of a span, and replaced whenever the group changes.
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
    /// There are more ends than workflows, so some of them are of one workflow: whether this one has
    /// ended is unknown.
    MoreEndsThanWorkflows,
    /// One end came for all of them: it may have ended the whole batch or one message.
    OneEndForAll,
    /// The group has more than 1,000 workflows.
    TooManyWorkflows,
}

impl SharedEnd {
    /// When it ended.
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

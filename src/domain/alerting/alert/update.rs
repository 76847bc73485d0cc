//! What can happen to an alert between its beginning and its end, and why it ends.

use serde::{Deserialize, Serialize};

use super::TransitionKind;
use crate::domain::{
    alerting::{rule_status::Missing, suppression::Suppression},
    model::time::Timestamp,
};

/// What has come of an alert that fires on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AlertUpdate {
    /// Customers with a bad event in the last hour: when people were told last, and now.
    MoreCustomers {
        before: i64,
        now: i64,
    },
    /// The error budget is gone.
    BudgetSpent,
    DataStopped {
        /// Until when there were data; `None` if that is longer ago than was looked.
        #[serde(rename = "last_data_at")]
        heard_until: Option<Timestamp>,
        missing: Missing,
    },
    DataResumed {
        /// Since when there had been none.
        stopped_at: Timestamp,
    },
    Unmuted {
        #[serde(rename = "suppression")]
        was: Suppression,
    },
    Reminded,
    /// By whom is in the facts.
    Acknowledged,
}

impl AlertUpdate {
    pub const fn kind(self) -> TransitionKind {
        match self {
            Self::MoreCustomers { .. } | Self::BudgetSpent => TransitionKind::Updated,
            Self::DataStopped { .. } => TransitionKind::DataStopped,
            Self::DataResumed { .. } => TransitionKind::DataResumed,
            Self::Unmuted { .. } => TransitionKind::Unmuted,
            Self::Reminded => TransitionKind::Reminded,
            Self::Acknowledged => TransitionKind::Acknowledged,
        }
    }
}

/// Why an episode ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpisodeEnd {
    /// Quiet for long enough.
    #[default]
    Recovered,
    /// The SLO, or its last rule of this severity, is not declared any more: nobody watches it.
    #[serde(rename = "removed")]
    Undeclared,
}

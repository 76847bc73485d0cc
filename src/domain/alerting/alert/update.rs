//! The updates between the beginning and the end of an alert, and the reasons for its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TransitionKind;
use crate::domain::{
    alerting::{rule_status::Missing, suppression::Suppression},
    model::time::Timestamp,
};

/// An update of a firing alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AlertUpdate {
    /// Customers with a bad event in the last hour: at the last notification, and now.
    MoreCustomers {
        before: i64,
        now: i64,
    },
    /// The error budget is exhausted.
    BudgetSpent,
    DataStopped {
        /// The end of the data; `None` if it is further back than was searched.
        #[serde(rename = "last_data_at")]
        heard_until: Option<Timestamp>,
        missing: Missing,
    },
    DataResumed {
        /// The time since when there had been none.
        stopped_at: Timestamp,
    },
    Unmuted {
        #[serde(rename = "suppression")]
        was: Suppression,
    },
    Reminded,
    /// The snapshot contains by whom.
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

/// The reason why an episode ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpisodeEnd {
    /// It was clear for long enough.
    #[default]
    Recovered,
    /// The SLO, or its last rule of this severity, is no longer declared.
    #[serde(rename = "removed")]
    Undeclared,
}

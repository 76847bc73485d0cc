//! The kinds of an alert's transitions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a transition. An episode begins with `Firing` and ends with `Resolved`; during the
/// others it is firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    Firing,
    /// Significantly worse than at the last notification.
    Updated,
    /// No more data arrives, so it is unknown whether the problem continues.
    DataStopped,
    DataResumed,
    /// The suppression has ended, and the alert is still firing.
    Unmuted,
    /// A page without an acknowledgement.
    Reminded,
    /// A person has acknowledged it.
    Acknowledged,
    Resolved,
}

impl TransitionKind {
    pub const ALL: [Self; 8] = [
        Self::Firing,
        Self::Updated,
        Self::DataStopped,
        Self::DataResumed,
        Self::Unmuted,
        Self::Reminded,
        Self::Acknowledged,
        Self::Resolved,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Updated => "updated",
            Self::DataStopped => "data_stopped",
            Self::DataResumed => "data_resumed",
            Self::Unmuted => "unmuted",
            Self::Reminded => "reminded",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Returns whether the alert is firing after it.
    pub const fn lasts(self) -> bool {
        match self {
            Self::Firing
            | Self::Updated
            | Self::DataStopped
            | Self::DataResumed
            | Self::Unmuted
            | Self::Reminded
            | Self::Acknowledged => true,
            Self::Resolved => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_alike_everywhere() {
        for kind in TransitionKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.as_str());
        }
    }
}

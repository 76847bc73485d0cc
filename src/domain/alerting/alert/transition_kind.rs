//! What can be told of an alert.

use serde::{Deserialize, Serialize};

/// What has become of an alert. An episode begins with `Firing` and ends with `Resolved`; the others
/// lie between them and change nothing about that it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    Firing,
    /// Materially worse than when people were told last.
    Updated,
    /// Nothing is heard any more, so nobody can know whether it goes on.
    DataStopped,
    DataResumed,
    /// What kept it quiet is over, and it still fires.
    Unmuted,
    /// A page that nobody has acknowledged.
    Reminded,
    /// Somebody has taken it on.
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

    /// Whether the alert fires on after it.
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

//! Where an alert is in its life, as pages show it.

use serde::{Deserialize, Serialize};

use crate::domain::{
    alerting::suppression::Suppression,
    model::{ids::Name, time::Timestamp},
    slo::Severity,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStatus {
    pub severity: Severity,
    pub state: AlertState,
    /// When it began to fire, or to be what it is.
    pub since: Timestamp,
    /// When the trouble began that it fires of; what "since" means to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// The rule that made it fire.
    pub rule: Option<Name>,
    #[serde(flatten)]
    pub progress: AlertProgress,
}

/// The most severe of `alerts` that fires: the one that pages speak of.
pub fn firing(alerts: &[AlertStatus]) -> Option<&AlertStatus> {
    let firing = alerts.iter().filter(|alert| alert.state.fires());
    firing.max_by_key(|alert| alert.severity)
}

/// How an alert that fires goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertProgress {
    /// How often it burned again while it seemed to recover.
    pub flaps: u32,
    /// Since when nothing is known that a verdict could be made of.
    pub data_stale_since: Option<Timestamp>,
    /// What has kept something of it from people.
    #[serde(rename = "suppression")]
    pub muted: Option<Suppression>,
}

/// Where the alert of one SLO and severity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Inactive,
    /// A rule burns that must do so for a while before people are told.
    Pending,
    Firing,
    /// Firing, but no rule burns; resolves if it stays so.
    Recovering,
}

impl AlertState {
    /// Whether people are, or would be, told that it fires.
    pub const fn fires(self) -> bool {
        match self {
            Self::Firing | Self::Recovering => true,
            Self::Inactive | Self::Pending => false,
        }
    }
}

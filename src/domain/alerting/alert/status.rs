//! Where an alert is in its life, as pages show it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Alert, AlertPhase, Observation};
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
    #[serde(rename = "changed_at")]
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
    /// While no rule burns any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// How an alert ends for which no rule burns any more, if that stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    pub since: Timestamp,
    pub resolves_at: Timestamp,
}

impl Recovery {
    /// `None` unless `alert`, after it has `seen` this, recovers.
    pub fn of(alert: &Alert, seen: &Observation, resolve_after: Duration) -> Option<Self> {
        let AlertPhase::Recovering { clear, .. } = &alert.phase else {
            return None;
        };
        let needed = seen.clears_after(resolve_after)?;
        Some(Self {
            since: seen.at - clear.so_far,
            resolves_at: seen.at + needed.saturating_sub(clear.so_far),
        })
    }
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

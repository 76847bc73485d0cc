//! The state of an alert as pages show it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alert, AlertPhase, Observation};
use crate::domain::{
    alerting::suppression::Suppression,
    model::{ids::Name, time::Timestamp},
    slo::Severity,
};

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct AlertStatus {
    pub severity: Severity,
    pub state: AlertState,
    /// When it began to fire, or when its present state began.
    #[serde(rename = "changed_at")]
    pub since: Timestamp,
    /// The time at which the problem behind a firing alert began, which people understand by
    /// "since".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// The rule that fired.
    pub rule: Option<Name>,
    #[serde(flatten)]
    pub progress: AlertProgress,
}

/// Returns the most severe of the firing `alerts`, which pages show.
pub fn firing(alerts: &[AlertStatus]) -> Option<&AlertStatus> {
    let firing = alerts.iter().filter(|alert| alert.state.fires());
    firing.max_by_key(|alert| alert.severity)
}

/// The progress of a firing alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertProgress {
    /// The number of times it burned again while recovering.
    pub flaps: u32,
    /// The time since when no verdict is possible for lack of data.
    pub data_stale_since: Option<Timestamp>,
    /// The reason for suppression, if a notification has been suppressed.
    #[serde(rename = "suppression")]
    pub muted: Option<Suppression>,
    /// Set while no rule burns any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// The end of an alert for which no rule burns any more, if that stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Recovery {
    pub since: Timestamp,
    pub resolves_at: Timestamp,
}

impl Recovery {
    /// Returns `None` unless `alert` recovers after `seen`.
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

/// The state of the alert of one SLO and severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Inactive,
    /// A rule is burning that must do so for a while before a notification.
    Pending,
    Firing,
    /// Firing, but no rule is burning; resolves if this lasts.
    Recovering,
}

impl AlertState {
    /// Returns its name in metrics, the same as in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
        }
    }

    /// Returns whether its firing is, or would be, notified.
    pub const fn fires(self) -> bool {
        match self {
            Self::Firing | Self::Recovering => true,
            Self::Inactive | Self::Pending => false,
        }
    }
}

//! When people are told, and who.

use std::time::Duration;

use crate::domain::names::Name;

/// When people are told: rules of all policies of an SLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    pub rules: Vec<AlertRule>,
    pub guard: Guard,
    pub burn: BurnKind,
    /// Quiet this long before an alert resolves.
    pub resolve_after: Duration,
}

/// A burn rate that must be reached in a long and in a short window: the long one tells that it
/// matters, the short one that it still goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    pub name: Name,
    pub severity: Severity,
    /// The burn rate at which the rule reacts; at least 1 and at most `Objective::max_burn_rate`.
    pub factor: f64,
    pub long: Duration,
    pub short: Duration,
}

/// How urgently people are told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ticket,
    Page,
}

/// The floor against low traffic: nothing fires on fewer bad events in the long window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub bad_events: u64,
}

/// How a burn rate is computed from counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnKind {
    /// Weighed by volume: the share of the budget that was really spent.
    Budget,
    /// The plain ratio of bad events.
    Ratio,
}

/// Who is told, by severity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub page: Vec<Name>,
    pub ticket: Vec<Name>,
}

impl Default for Alerting {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            guard: Guard { bad_events: 5 },
            burn: BurnKind::Budget,
            resolve_after: Duration::from_mins(5),
        }
    }
}

//! How an SLO stands at one moment: what the pages show, the API returns and the alerts saw.

use serde::{Deserialize, Serialize};

use super::{counts::EventCounts, definition::Severity, names::Name, time::Timestamp};

/// One evaluation of one SLO. Kept as JSON in `slo_statuses`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloStatus {
    /// The moment the windows end at.
    pub evaluated_at: Timestamp,
    pub state: SloState,
    /// Over the SLO's own window.
    pub window: EventCounts,
    /// Share of the error budget not yet spent: 1 is all, below 0 is overspent. `None` without
    /// events.
    pub budget_remaining: Option<f64>,
    /// Seconds until the budget is gone at the rate of the last hour. `None` if it does not burn
    /// down or is gone already.
    pub budget_empty_in_secs: Option<u64>,
    /// Events of the last hour.
    pub last_hour: EventCounts,
    /// Burn rate of the last hour. `None` without events.
    pub burn_rate: Option<f64>,
    pub rules: Vec<RuleStatus>,
    pub alerts: Vec<AlertStatus>,
    /// Started, not judged.
    pub in_flight: i64,
    /// In flight past the deadline, still within the grace.
    pub overdue: i64,
    /// Distinct customers with a bad event in the last hour; `None` where the SLO names none.
    pub customers_affected: Option<i64>,
}

/// The state in one word, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloState {
    Paging,
    Ticket,
    /// The short window of some rule is over its factor, the long one not yet.
    Rising,
    /// An alert fires, but no rule burns any more.
    Recovering,
    /// No event in the whole window.
    NoData,
    /// So few events are expected that one bad one would spend the whole budget.
    TooFew,
    Ok,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatus {
    pub name: Name,
    pub severity: Severity,
    pub factor: f64,
    pub long: WindowStatus,
    pub short: WindowStatus,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    pub secs: u64,
    pub counts: EventCounts,
    /// `None` without events.
    pub burn_rate: Option<f64>,
}

/// What one rule says of its two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Both windows at or over the factor, and enough bad events.
    Burning,
    /// Only the short window.
    Rising,
    /// Only the long window.
    Recovering,
    Quiet,
    /// Neither window has an event.
    NoData,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStatus {
    pub severity: Severity,
    pub state: AlertState,
    pub since: Timestamp,
    /// The rule that made it fire.
    pub rule: Option<Name>,
}

/// Where the alert of one SLO and severity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Inactive,
    Firing,
    /// Firing, but no rule burns; resolves if it stays so.
    Recovering,
}

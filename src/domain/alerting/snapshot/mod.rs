//! The facts themselves, as they are kept with the transition.

mod change;
mod context;
mod numbers;
mod trend;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    change::{ChangeKind, RecentChange},
    context::{Compared, Context, TopCustomer},
    trend::Trend,
};
use super::alert::{AlertUpdate, EpisodeEnd, TransitionKind};
use crate::domain::{
    alerting::{
        incident::Acknowledgement, limit::LimitStatus, rule_status::WindowStatus,
        trace_link::TraceLink,
    },
    counting::{customers::CustomerTotal, differences::Difference},
    model::{
        counts::EventCounts,
        group::Group,
        ids::{Name, TraceId},
        time::Timestamp,
        window::CalendarUnit,
    },
    slo::Severity,
    workflow::Outcome,
};

/// Version 1 of the facts; kept as JSON in `alert_transitions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertSnapshot {
    /// They never were: somebody tries whether a target is reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_test: bool,
    pub kind: TransitionKind,
    pub slo: Name,
    pub display_name: String,
    /// Which group of the SLO; `None` for the SLO itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    pub service: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub severity: Severity,
    /// The rule that fired.
    pub rule: Name,
    /// Of a rule on burn rates; 1 for one on a limit.
    pub factor: f64,
    /// How that rule stands, if it is on a limit instead of a burn rate: both windows are then its own.
    #[serde(
        default,
        rename = "threshold_rule",
        skip_serializing_if = "Option::is_none"
    )]
    pub limit: Option<LimitStatus>,
    /// One uninterrupted trouble, from firing to resolved.
    #[serde(rename = "incident")]
    pub episode: Uuid,
    /// Rises with every transition of this SLO and severity.
    pub version: i64,
    /// The promised share of good events, in (0, 1).
    #[serde(rename = "objective_ratio")]
    pub objective: f64,
    /// Of the calendar, the longest that a period can be.
    #[serde(rename = "window_seconds")]
    pub window_secs: u64,
    /// Of a window of the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarUnit>,
    /// How long a workflow may take; `None` for a one-span SLI.
    #[serde(rename = "within_seconds")]
    pub within_secs: Option<f64>,
    #[serde(rename = "long_window")]
    pub long: WindowStatus,
    #[serde(rename = "short_window")]
    pub short: WindowStatus,
    /// Distinct customers with a bad event in the last hour, as everywhere; `None` where the SLO names none.
    pub customers_affected: Option<i64>,
    /// Distinct customers with any event in the hours that the last hour touches; `None` where nobody is
    /// affected.
    #[serde(default)]
    pub customers_total: Option<CustomerTotal>,
    /// Share of the error budget left, signed.
    #[serde(rename = "budget_remaining_ratio")]
    pub budget_remaining: Option<f64>,
    /// Bad events that the budget still allows, never below 0.
    pub bad_events_allowed: i64,
    /// Seconds until the budget is gone at the pace of the long window.
    #[serde(rename = "budget_empty_in_seconds")]
    pub budget_empty_in_secs: Option<u64>,
    /// When the trouble began, fixed when the alert fired.
    pub began_at: Option<Timestamp>,
    pub evaluated_at: Timestamp,
    /// When the episode began; of `Firing` the moment of evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Timestamp>,
    /// Of what begins again soon after it was over: which time of the day (UTC) it is.
    #[serde(
        default,
        rename = "incident_number_today",
        skip_serializing_if = "Option::is_none"
    )]
    pub nth_today: Option<u32>,
    /// What has come of it, between beginning and end.
    #[serde(default, rename = "update", skip_serializing_if = "Option::is_none")]
    pub development: Option<AlertUpdate>,
    /// Who has taken it on, once somebody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Since when `finish` is what it was then, where no workflow had finished under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_unmatched_since: Option<Timestamp>,
    /// At most three, worst first.
    #[serde(rename = "worst_workflows")]
    pub worst: Vec<WorstWorkflow>,
    /// What bad events of the long window have in common; at most three, the best clue first.
    #[serde(default, rename = "in_common")]
    pub differences: Vec<Difference>,
    /// Where the time is lost; `None` where that cannot be told.
    #[serde(default)]
    pub slowest_stage: Option<SlowestStage>,
    /// What surrounds the numbers.
    #[serde(default)]
    pub context: Context,
    pub runbook: Option<String>,
    /// The incident's page; `None` where the service does not know its own address.
    pub page_url: Option<String>,
    /// Only on `Resolved`: what the episode cost.
    #[serde(rename = "incident_summary")]
    pub episode_summary: Option<EpisodeSummary>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstWorkflow {
    #[serde(rename = "workflow")]
    pub label: String,
    pub trace_id: TraceId,
    /// As the definition lets messages call it.
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    /// Start to end; for one that has not ended, start to now.
    #[serde(rename = "duration_seconds")]
    pub took_secs: Option<f64>,
    /// Whether it has ended.
    pub ended: bool,
    /// Where its trace can be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<TraceLink>,
}

/// The stage of which most is in what bad workflows take longer than good ones, in the long window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowestStage {
    pub title: String,
    #[serde(rename = "share_of_excess_ratio")]
    pub share_of_excess: f64,
    #[serde(rename = "bad_mean_seconds")]
    pub bad_secs: f64,
    #[serde(rename = "good_mean_seconds")]
    pub good_secs: f64,
}

/// What was wrong when an episode began, beside which its end is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// In the long window; `None` without events.
    pub bad_ratio: Option<f64>,
    /// The best clue of that time.
    pub difference: Option<Difference>,
    /// The share of good events now that have what it is about; `None` where they are too few.
    pub good_ratio_now: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeSummary {
    pub fired_at: Timestamp,
    pub resolved_at: Timestamp,
    #[serde(default)]
    pub ended_by: EpisodeEnd,
    /// How often it burned again while it seemed to recover.
    #[serde(default)]
    pub flaps: u32,
    /// Events from it began to the resolve.
    pub counts: EventCounts,
    pub customers_affected: Option<i64>,
    /// Share of the window's budget that the episode spent.
    #[serde(rename = "budget_spent_ratio")]
    pub budget_spent: Option<f64>,
    /// The share of events that cannot be used, where it ended although they leave it in doubt.
    #[serde(
        default,
        rename = "unusable_ratio",
        skip_serializing_if = "Option::is_none"
    )]
    pub unusable: Option<f64>,
    /// What it was like when it fired; `None` in facts of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

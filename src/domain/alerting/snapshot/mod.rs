//! The snapshot of an alert that is stored with each transition.

mod change;
mod context;
mod numbers;
mod trend;

use std::collections::BTreeMap;

use schemars::JsonSchema;
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
        incident::Acknowledgement, rule_status::WindowStatus, threshold::ThresholdStatus,
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

/// Version 1 of the snapshot; stored as JSON in `alert_transitions`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct AlertSnapshot {
    /// The alert is not real: a person tests whether a target can be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_test: bool,
    pub kind: TransitionKind,
    pub slo: Name,
    pub display_name: String,
    /// The group of the SLO; `None` for the SLO itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    pub service: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub severity: Severity,
    /// The rule that fired.
    pub rule: Name,
    /// The factor of a rule on burn rates; 1 for a rule on a limit.
    pub factor: f64,
    /// The status of a rule on a limit instead of a burn rate: both windows are then its own.
    #[serde(
        default,
        rename = "threshold_rule",
        skip_serializing_if = "Option::is_none"
    )]
    pub limit: Option<ThresholdStatus>,
    /// One uninterrupted problem, from firing to resolved.
    #[serde(rename = "incident")]
    pub episode: Uuid,
    /// Increases with every transition of this SLO and severity.
    pub version: i64,
    /// The target share of good events, in (0, 1).
    #[serde(rename = "objective_ratio")]
    pub objective: f64,
    /// For a calendar window, the longest possible period.
    #[serde(rename = "window_seconds")]
    pub window_secs: u64,
    /// Set for a calendar window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarUnit>,
    /// The time limit of a workflow; `None` for a one-span SLI.
    #[serde(rename = "within_seconds")]
    pub within_secs: Option<f64>,
    #[serde(rename = "long_window")]
    pub long: WindowStatus,
    #[serde(rename = "short_window")]
    pub short: WindowStatus,
    /// Distinct customers with a bad event in the last hour, as everywhere; `None` where the SLO names none.
    pub customers_affected: Option<i64>,
    /// Distinct customers with any event in the hours that the last hour touches; `None` if none is
    /// affected.
    #[serde(default)]
    pub customers_total: Option<CustomerTotal>,
    /// Share of the error budget left; negative if it is overspent.
    #[serde(rename = "budget_remaining_ratio")]
    pub budget_remaining: Option<f64>,
    /// Bad events that the budget still allows, never below 0.
    pub bad_events_allowed: i64,
    /// Seconds until the budget is exhausted at the pace of the long window.
    #[serde(rename = "budget_empty_in_seconds")]
    pub budget_empty_in_secs: Option<u64>,
    /// The time at which the problem began, fixed when the alert fired.
    pub began_at: Option<Timestamp>,
    pub evaluated_at: Timestamp,
    /// The time at which the episode began; for `Firing` the time of the evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Timestamp>,
    /// Set for an alert that fires again soon after it resolved: the ordinal of this time within
    /// the day (UTC).
    #[serde(
        default,
        rename = "incident_number_today",
        skip_serializing_if = "Option::is_none"
    )]
    pub nth_today: Option<u32>,
    /// The update, between beginning and end.
    #[serde(default, rename = "update", skip_serializing_if = "Option::is_none")]
    pub development: Option<AlertUpdate>,
    /// The acknowledgement, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Set if no workflow has finished since `finish` was changed: the time of that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_unmatched_since: Option<Timestamp>,
    /// At most three, worst first.
    #[serde(rename = "worst_workflows")]
    pub worst: Vec<WorstWorkflow>,
    /// Attributes that bad events of the long window share; at most three, the most significant
    /// first.
    #[serde(default, rename = "in_common")]
    pub differences: Vec<Difference>,
    /// The stage in which the time is lost; `None` if that is unknown.
    #[serde(default)]
    pub slowest_stage: Option<SlowestStage>,
    /// The context of the numbers.
    #[serde(default)]
    pub context: Context,
    pub runbook: Option<String>,
    /// The incident's page; `None` if the public URL is unknown.
    pub page_url: Option<String>,
    /// Set only for `Resolved`: the cost of the episode.
    #[serde(rename = "incident_summary")]
    pub episode_summary: Option<EpisodeSummary>,
}

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WorstWorkflow {
    #[serde(rename = "workflow")]
    pub label: String,
    pub trace_id: TraceId,
    /// The name of the customer as the definition allows messages to show it.
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    /// From start to end; for one that has not ended, from start to now.
    #[serde(rename = "duration_seconds")]
    pub took_secs: Option<f64>,
    /// True if it has ended.
    pub ended: bool,
    /// Its page; `None` if the public URL is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
    /// Links to its trace in trace viewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<TraceLink>,
}

/// The stage with the largest share of the extra time of bad workflows compared with good ones, in
/// the long window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SlowestStage {
    pub title: String,
    #[serde(rename = "share_of_excess_ratio")]
    pub share_of_excess: f64,
    #[serde(rename = "bad_mean_seconds")]
    pub bad_secs: f64,
    #[serde(rename = "good_mean_seconds")]
    pub good_secs: f64,
}

/// The problem when an episode began, shown for comparison at its end.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Before {
    /// In the long window; `None` without events.
    pub bad_ratio: Option<f64>,
    /// The most significant difference at that time.
    pub difference: Option<Difference>,
    /// The share of good events now that have this difference; `None` if they are too few.
    pub good_ratio_now: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EpisodeSummary {
    pub fired_at: Timestamp,
    pub resolved_at: Timestamp,
    #[serde(default)]
    pub ended_by: EpisodeEnd,
    /// The number of times it burned again while recovering.
    #[serde(default)]
    pub flaps: u32,
    /// Events from `began_at` to the resolve.
    pub counts: EventCounts,
    pub customers_affected: Option<i64>,
    /// True if it is unknown which customers were affected, so that it is the largest possible number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub customers_affected_is_upper_bound: bool,
    /// Share of the window's budget that the episode spent.
    #[serde(rename = "budget_spent_ratio")]
    pub budget_spent: Option<f64>,
    /// The share of unusable events, if the episode ended although they leave it in doubt.
    #[serde(
        default,
        rename = "unusable_ratio",
        skip_serializing_if = "Option::is_none"
    )]
    pub unusable: Option<f64>,
    /// The problem when it fired; `None` in snapshots of versions that did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

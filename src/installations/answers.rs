//! The parts of an installation's API responses that are shown. Unknown fields of other versions are
//! ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    alerting::{
        alert::{AlertState, AlertStatus, firing},
        rule_status::{RuleStatus, WindowStatus, leading_rule},
        status::SloState,
    },
    model::{
        format,
        ids::{Name, SloId},
        time::Timestamp,
    },
    slo::Severity,
    workflow::Outcome,
};

/// The response of `/api/v1/slos`.
#[derive(Clone, Debug, Deserialize)]
pub struct SlosAnswer {
    /// The public URL of the installation, if it is configured.
    pub public_url: Option<String>,
    pub slos: Vec<ListedSlo>,
    /// The SLOs that it leaves to other installations.
    #[serde(default)]
    pub other_slos: Vec<Name>,
    pub next: Option<Name>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedSlo {
    pub name: Name,
    pub display_name: String,
    pub service: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub objective_ratio: f64,
    pub window_seconds: u64,
    /// `None` before the first evaluation.
    pub state: Option<SloState>,
    pub budget_remaining_ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_remaining_at_worst_ratio: Option<f64>,
    pub budget_empty_in_seconds: Option<u64>,
    pub in_flight: i64,
    pub overdue: i64,
    pub leading_window: WindowStatus,
    pub rules: Vec<RuleStatus>,
    pub alerts: Vec<AlertStatus>,
}

/// The response of `/api/v1/alerts`.
#[derive(Clone, Debug, Deserialize)]
pub struct AlertsAnswer {
    pub public_url: Option<String>,
    pub firing: Vec<ListedAlert>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedAlert {
    pub slo: Name,
    pub display_name: String,
    pub group: Option<String>,
    pub group_id: Option<SloId>,
    pub severity: Severity,
    pub state: AlertState,
    pub began_at: Timestamp,
    pub incident: Option<Uuid>,
    pub budget_remaining_ratio: Option<f64>,
    pub customers_affected_last_hour: Option<i64>,
}

/// The response of `/api/v1/workflows`.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkflowsAnswer {
    pub public_url: Option<String>,
    pub workflows: Vec<FoundWorkflow>,
    pub next: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundWorkflow {
    pub slo: Name,
    pub key: String,
    pub label: String,
    pub trace_id: String,
    pub customer: Option<String>,
    pub outcome: Outcome,
    pub started_at: Option<Timestamp>,
    pub duration_seconds: Option<f64>,
}

impl ListedSlo {
    pub fn urgency(&self) -> (SloState, u64, i64) {
        SloState::urgency(
            self.state,
            self.budget_empty_in_seconds,
            self.budget_remaining_ratio,
        )
    }

    /// The burn rate, formatted as on the page of the SLO.
    pub fn burn_text(&self) -> String {
        let fired = firing(&self.alerts).and_then(|alert| alert.rule.as_ref());
        let factor = leading_rule(&self.rules, fired).map(|rule| rule.factor);
        format::burn_rate(self.leading_window.burn_rate, factor)
    }
}

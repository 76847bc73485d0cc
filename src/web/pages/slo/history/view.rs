//! The history of an SLO as page, JSON and comma-separated values.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::snapshot::EpisodeSummary,
        model::{
            counts::EventCounts,
            format,
            ids::{Name, Revision},
            time::{TimeRange, Timestamp},
            window::CalendarUnit,
        },
        slo::Severity,
    },
    web::pages::reports::month_name,
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct HistoryView {
    pub(super) as_of: Timestamp,
    pub(super) slo: Name,
    pub(super) display_name: String,
    /// The unit of the periods, in UTC.
    pub(super) by: CalendarUnit,
    /// Newest first, back to the first event of the SLO.
    pub(super) periods: Vec<PeriodRow>,
    /// The value of `before` for earlier periods.
    pub(super) next: Option<Timestamp>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::web::pages) struct PeriodRow {
    pub(in crate::web::pages) from: Timestamp,
    pub(in crate::web::pages) to: Timestamp,
    /// Of the definitions that were active at its end; of the present ones if those are not stored
    /// any more.
    pub(in crate::web::pages) objective_ratio: f64,
    /// The number of the set of definitions that was active at its end; `None` if it is not stored
    /// any more.
    pub(in crate::web::pages) revision: Option<Revision>,
    pub(in crate::web::pages) good: i64,
    pub(in crate::web::pages) bad: i64,
    /// Share of events that were bad, weighted where spans are sampled.
    pub(in crate::web::pages) bad_ratio: Option<f64>,
    /// The spent share of the period's error budget; above 1 if it was exceeded.
    pub(in crate::web::pages) budget_spent_ratio: Option<f64>,
    /// Incidents that fired in it.
    pub(in crate::web::pages) incidents: Vec<IncidentCost>,
}

/// One incident with its cost.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::web::pages) struct IncidentCost {
    pub(in crate::web::pages) incident: Uuid,
    pub(in crate::web::pages) severity: Severity,
    pub(in crate::web::pages) fired_at: Timestamp,
    /// `None` while it is firing.
    pub(in crate::web::pages) resolved_at: Option<Timestamp>,
    pub(in crate::web::pages) bad: Option<i64>,
    /// The share of the budget of the SLO's window.
    pub(in crate::web::pages) budget_spent_ratio: Option<f64>,
}

impl PeriodRow {
    pub(in crate::web::pages) fn new(
        period: TimeRange,
        counts: &EventCounts,
        objective: f64,
    ) -> Self {
        let mut row = Self {
            from: period.from,
            to: period.to,
            objective_ratio: objective,
            revision: None,
            good: counts.good,
            bad: counts.bad(),
            bad_ratio: counts.bad_ratio(),
            budget_spent_ratio: None,
            incidents: Vec::new(),
        };
        row.set_objective(objective);
        row
    }

    pub(in crate::web::pages) fn set_objective(&mut self, objective: f64) {
        let budget = 1.0 - objective;
        self.objective_ratio = objective;
        self.budget_spent_ratio = self.bad_ratio.map(|bad| bad / budget);
    }

    pub(in crate::web::pages) fn objective_text(&self) -> String {
        format::objective(self.objective_ratio)
    }

    pub(in crate::web::pages) fn good_text(&self) -> String {
        format::count(self.good)
    }

    pub(in crate::web::pages) fn bad_text(&self) -> String {
        format::count(self.bad)
    }

    pub(in crate::web::pages) fn spent_text(&self) -> String {
        format::budget(self.budget_spent_ratio)
    }

    pub(in crate::web::pages) fn is_counted(&self) -> bool {
        self.budget_spent_ratio.is_some()
    }

    pub(in crate::web::pages) fn is_missed(&self) -> bool {
        self.budget_spent_ratio.is_some_and(|spent| spent > 1.0)
    }

    pub(in crate::web::pages) fn revision_text(&self) -> String {
        self.revision.map_or_else(
            || format::NONE.to_owned(),
            |revision| revision.0.to_string(),
        )
    }
}

impl IncidentCost {
    pub(in crate::web::pages) fn begun(
        incident: Uuid,
        severity: Severity,
        fired_at: Timestamp,
    ) -> Self {
        Self {
            incident,
            severity,
            fired_at,
            resolved_at: None,
            bad: None,
            budget_spent_ratio: None,
        }
    }

    pub(in crate::web::pages) fn end(&mut self, summary: &EpisodeSummary) {
        self.resolved_at = Some(summary.resolved_at);
        self.bad = Some(summary.counts.bad());
        self.budget_spent_ratio = summary.budget_spent;
    }

    pub(in crate::web::pages) fn text(&self) -> String {
        let begun = format::date_time(self.fired_at);
        let severity = self.severity.as_str();
        match (self.resolved_at, self.bad) {
            (Some(resolved_at), Some(bad)) => format!(
                "{severity} at {begun} for {}: {} bad, {} of the budget",
                format::lasting(resolved_at.saturating_since(self.fired_at)),
                format::count(bad),
                format::budget(self.budget_spent_ratio),
            ),
            _ => format!("{severity} at {begun}, not over"),
        }
    }
}

impl HistoryView {
    pub(super) const fn by(&self) -> &'static str {
        self.by.as_str()
    }

    /// Returns the current month.
    pub(super) fn month(&self) -> String {
        month_name(self.as_of)
    }

    /// Returns the query of earlier periods.
    pub(super) fn next_query(&self) -> Option<String> {
        let before = self.next?;
        Some(format!("by={}&before={}", self.by(), before.to_rfc3339()))
    }

    pub(super) fn label(&self, row: &PeriodRow) -> String {
        let day = row.from.to_chrono();
        match self.by {
            CalendarUnit::Week => format!("week of {}", day.format("%Y-%m-%d")),
            CalendarUnit::Month => day.format("%Y-%m").to_string(),
            CalendarUnit::Day | CalendarUnit::Quarter | CalendarUnit::Year => {
                day.format("%Y-%m-%d").to_string()
            }
        }
    }

    /// Formats as CSV (RFC 4180). No cell contains text of senders.
    pub(super) fn csv(&self) -> String {
        let mut text =
            "from,to,objective_ratio,revision,good,bad,budget_spent_ratio,incidents\r\n".to_owned();
        for row in &self.periods {
            let revision = row.revision.map(|revision| revision.0.to_string());
            let spent = row.budget_spent_ratio.map(|spent| spent.to_string());
            let ids: Vec<String> = row
                .incidents
                .iter()
                .map(|one| one.incident.to_string())
                .collect();
            let cells = [
                row.from.to_rfc3339(),
                row.to.to_rfc3339(),
                row.objective_ratio.to_string(),
                revision.unwrap_or_default(),
                row.good.to_string(),
                row.bad.to_string(),
                spent.unwrap_or_default(),
                ids.join(" "),
            ];
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

//! `/alerts`: firing alerts, and alerts that fired and ended recently.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    history::{self, TransitionView},
    overview::freshness_of,
    slo::groups,
    summary::{StatusBadge, Summary, limit_track, rule_track},
};
use crate::{
    domain::{
        alerting::{
            alert::{AlertProgress, AlertState, TransitionKind},
            rule_status::RuleStatus,
            status::SloState,
            suppression::Suppression,
            threshold::ThresholdStatus,
        },
        counting::customers::CustomerTotal,
        model::{
            format,
            group::Group,
            ids::{Name, SloId},
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::Severity,
    },
    store::{GroupRecord, SloRecord},
    web::{
        chart::Markup,
        error::WebError,
        page::{Layout, Negotiation, Section},
        reader::times,
        state::WebState,
    },
};

const HISTORY_DAYS: u32 = 28;
const MOST_TRANSITIONS: u32 = 100;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AlertsView {
    as_of: Timestamp,
    evaluated_at: Option<Timestamp>,
    /// Where people reach these pages, as `--public-url` has it.
    public_url: Option<String>,
    firing: Vec<FiringView>,
    /// Of the last 28 days, newest first.
    transitions: Vec<TransitionView>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct FiringView {
    slo: Name,
    display_name: String,
    /// The group of the SLO, and its number.
    group: Option<String>,
    group_id: Option<SloId>,
    severity: Severity,
    state: AlertState,
    fired_at: Timestamp,
    /// The time at which the problem began.
    began_at: Timestamp,
    #[serde(flatten)]
    progress: AlertProgress,
    /// The id of the incident; `None` if it began more than 28 days ago.
    incident: Option<Uuid>,
    rule: Option<RuleStatus>,
    /// Set instead of `rule` if the rule that fired is not on a burn rate.
    threshold_rule: Option<ThresholdStatus>,
    customers_affected_last_hour: Option<i64>,
    customers_total_last_hour: Option<CustomerTotal>,
    budget_remaining_ratio: Option<f64>,
}

pub(crate) async fn get(asked: Negotiation, state: WebState) -> Response {
    let view = view(&state).await;
    asked.reply(&state, view, |view| AlertsPage::new(&state, view))
}

async fn view(state: &WebState) -> Result<AlertsView, WebError> {
    let now = state.clock.now();
    let catalog = Arc::clone(&state.catalog.borrow());
    let mut tx = state.reads().begin("read the alerts").await?;
    let records = tx.slos().await?;
    let range = TimeRange::ending_at(now, HISTORY_DAYS * Resolution::Day.length());
    let transitions = history::within(state, &mut tx, None, range, MOST_TRANSITIONS).await?;
    let summary = |record: &SloRecord| {
        let slo = catalog.slos.get(&record.name)?;
        Some(Summary::new(slo, Some(record)))
    };
    let summaries: Vec<Summary> = records.iter().filter_map(summary).collect();
    let mut firing: Vec<FiringView> = summaries
        .iter()
        .flat_map(|slo| FiringView::of(slo, None))
        .collect();
    for GroupRecord { group, record } in tx.groups_with_alerts().await? {
        let group = state.shown(&record.name, group);
        let of_group = summary(&record).map(|of| FiringView::of(&of, Some((record.id, &group))));
        firing.extend(of_group.into_iter().flatten());
    }
    for alert in &mut firing {
        alert.incident = alert.began_with(&transitions);
    }
    firing.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.fired_at));
    Ok(AlertsView {
        as_of: now,
        evaluated_at: summaries.iter().filter_map(|slo| slo.evaluated_at).max(),
        public_url: state.writes.public_url.clone(),
        firing,
        transitions,
    })
}

impl FiringView {
    fn path(&self) -> String {
        groups::path_of(&self.slo, self.group_id)
    }

    /// Returns the newest incident of the same SLO, group and severity.
    fn began_with(&self, newest_first: &[TransitionView]) -> Option<Uuid> {
        let is_own = |told: &&TransitionView| {
            told.kind == TransitionKind::Firing
                && (&told.slo, &told.group, told.severity)
                    == (&self.slo, &self.group, self.severity)
        };
        newest_first.iter().find(is_own).map(|told| told.incident)
    }

    fn of(slo: &Summary, group: Option<(SloId, &Group)>) -> Vec<Self> {
        slo.alerts
            .iter()
            .filter(|alert| alert.state != AlertState::Inactive)
            .map(|alert| Self {
                slo: slo.name.clone(),
                display_name: slo.display_name.clone(),
                group: group.map(|(_, group)| group.text()),
                group_id: group.map(|(id, _)| id),
                severity: alert.severity,
                state: alert.state,
                fired_at: alert.since,
                began_at: alert.began_at.unwrap_or(alert.since),
                progress: alert.progress,
                incident: None,
                rule: slo
                    .rules
                    .iter()
                    .find(|rule| Some(&rule.name) == alert.rule.as_ref())
                    .cloned(),
                threshold_rule: slo
                    .threshold_rules
                    .iter()
                    .chain(&slo.quality_rules)
                    .find(|limit| Some(&limit.name) == alert.rule.as_ref())
                    .cloned(),
                customers_affected_last_hour: slo.customers_affected_last_hour,
                customers_total_last_hour: slo.customers_total_last_hour,
                budget_remaining_ratio: slo.budget_remaining_ratio,
            })
            .collect()
    }

    fn face(&self) -> StatusBadge {
        match self.state {
            AlertState::Recovering => StatusBadge::of(Some(SloState::Recovering)),
            AlertState::Pending => StatusBadge {
                word: "Pending",
                ..StatusBadge::of(Some(SloState::Rising))
            },
            AlertState::Inactive | AlertState::Firing => StatusBadge::of_severity(self.severity),
        }
    }

    /// Returns further details of its state.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn remarks(&self, now: &Timestamp) -> Vec<String> {
        let AlertProgress {
            flaps,
            data_stale_since,
            muted,
            recovery,
        } = self.progress;
        let resolves = recovery.map(|recovery| {
            let at = times::moment(recovery.resolves_at, *now);
            format!("resolves at about {at} if this continues")
        });
        let stale = data_stale_since.map(|at| format!("no data since {}", times::time_of_day(at)));
        let flaps = match flaps {
            0 => None,
            1 => Some("burned again once".to_owned()),
            flaps => Some(format!("burned again {flaps} times")),
        };
        [resolves, muted.map(Suppression::text), stale, flaps]
            .into_iter()
            .flatten()
            .collect()
    }

    fn word(&self) -> &'static str {
        StatusBadge::severity_text(self.severity)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn since_text(&self, now: &Timestamp) -> String {
        times::moment(self.began_at, *now)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn lasting_text(&self, now: &Timestamp) -> String {
        format::lasting(now.saturating_since(self.began_at))
    }

    fn track(&self) -> Markup {
        let of_limit = self.threshold_rule.as_ref().map(limit_track);
        let of_rule = self.rule.as_ref().map(rule_track);
        of_limit.or(of_rule).unwrap_or_default()
    }

    fn budget_text(&self) -> String {
        format::budget(self.budget_remaining_ratio)
    }

    fn customers_text(&self) -> String {
        match (
            self.customers_affected_last_hour,
            &self.customers_total_last_hour,
        ) {
            (None, _) => format::NONE.to_owned(),
            (Some(affected), None) => format::count(affected),
            (Some(affected), Some(total)) => {
                format!("{} of {}", total.affected(affected), total.text())
            }
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html", config = "src/web/askama.toml")]
struct AlertsPage {
    layout: Layout,
    view: AlertsView,
}

impl AlertsPage {
    fn new(state: &WebState, view: AlertsView) -> Self {
        let title = match view.firing.len() {
            0 => "Nothing fires · Throughline".to_owned(),
            n => format!("{n} FIRING · Throughline"),
        };
        let mut layout = Layout::new(state, Section::Alerts, title);
        layout.icon = view
            .firing
            .first()
            .map_or("ok", |alert| alert.face().favicon());
        layout.json = Some("/api/v1/alerts".to_owned());
        layout.fresh = freshness_of(view.evaluated_at, view.as_of);
        Self { layout, view }
    }
}

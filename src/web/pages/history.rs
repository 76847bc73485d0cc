//! The history of alerts: when they fired and ended, and whether their targets were notified.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{slo::groups, summary::StatusBadge};
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind, snapshot::EpisodeSummary, status::SloState,
            suppression::Suppression, threshold::ThresholdStatus,
        },
        counting::customers::up_to,
        model::{
            format,
            group::Group,
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        notify::{delivery::Delivery, wording},
        slo::Severity,
    },
    store::{AlertTransition, StoreError, TransitionsOf, Tx},
    web::{reader::times, state::WebState},
};

/// One transition of an alert, with the snapshot of that time.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct TransitionView {
    pub(crate) id: Uuid,
    pub(crate) incident: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) slo: Name,
    pub(crate) display_name: String,
    /// The group of the SLO, if any.
    pub(crate) group: Option<String>,
    #[serde(skip)]
    id_of: SloId,
    pub(crate) kind: TransitionKind,
    pub(crate) severity: Severity,
    pub(crate) rule: Name,
    pub(crate) factor: f64,
    /// The status of the rule, if it is a threshold rule.
    threshold_rule: Option<ThresholdStatus>,
    pub(crate) long_window_seconds: u64,
    pub(crate) short_window_seconds: u64,
    pub(crate) burn_rate_long: Option<f64>,
    pub(crate) bad_events: i64,
    pub(crate) total_events: i64,
    pub(crate) customers_affected: Option<i64>,
    /// True if it is unknown who they are, so that it is the largest possible number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    customers_affected_is_upper_bound: bool,
    pub(crate) budget_remaining_ratio: Option<f64>,
    /// Set only for an end.
    pub(crate) incident_summary: Option<EpisodeSummary>,
    /// The update, between beginning and end.
    update: Option<String>,
    /// The cost of the incident, after its end.
    #[serde(skip)]
    cost: Option<String>,
    /// The reason why it was not notified.
    suppression: Option<Suppression>,
    pub(crate) deliveries: Vec<Delivery>,
}

/// Returns the transitions in a range, newest first: of one SLO or group, or (`None`) of all that
/// the reader may see.
pub(crate) async fn within(
    state: &WebState,
    tx: &mut Tx<'_>,
    slo: Option<SloId>,
    range: TimeRange,
    limit: u32,
) -> Result<Vec<TransitionView>, StoreError> {
    let seen = state.seen_names();
    let of = match (slo, &seen) {
        (Some(slo), _) => TransitionsOf::One(slo),
        (None, Some(names)) => TransitionsOf::Named(names),
        (None, None) => TransitionsOf::All,
    };
    let transitions = tx.transitions(of, range, limit).await?;
    let ids: Vec<Uuid> = transitions.iter().map(|transition| transition.id).collect();
    let mut deliveries = tx.deliveries_of(&ids).await?;
    let view = |transition: AlertTransition| {
        let deliveries = deliveries.remove(&transition.id).unwrap_or_default();
        let slo = transition.facts.slo.clone();
        TransitionView::new(state.shown(&slo, transition), deliveries)
    };
    Ok(transitions.into_iter().map(view).collect())
}

impl TransitionView {
    fn new(transition: AlertTransition, deliveries: Vec<Delivery>) -> Self {
        let facts = transition.facts;
        Self {
            update: wording::development(&facts),
            cost: facts
                .episode_summary
                .as_ref()
                .map(|summary| wording::cost(&facts, summary)),
            suppression: transition.suppression,
            id: transition.id,
            incident: facts.episode,
            at: transition.at,
            id_of: transition.slo,
            group: facts.group.as_ref().map(Group::text),
            slo: facts.slo,
            display_name: facts.display_name,
            kind: facts.kind,
            severity: facts.severity,
            rule: facts.rule,
            factor: facts.factor,
            threshold_rule: facts.limit,
            long_window_seconds: facts.long.secs,
            short_window_seconds: facts.short.secs,
            burn_rate_long: facts.long.burn_rate,
            bad_events: facts.long.counts.bad(),
            total_events: facts.long.counts.total(),
            customers_affected: facts.customers_affected,
            customers_affected_is_upper_bound: facts
                .customers_total
                .is_some_and(|total| total.affected_is_upper_bound),
            budget_remaining_ratio: facts.budget_remaining,
            incident_summary: facts.episode_summary,
            deliveries,
        }
    }

    pub(crate) fn path(&self) -> String {
        groups::path_of(&self.slo, self.group.as_ref().map(|_| self.id_of))
    }

    pub(crate) fn incident_path(&self) -> String {
        format!("/incidents/{}", self.incident)
    }

    pub(crate) fn title(&self) -> String {
        match &self.group {
            None => self.display_name.clone(),
            Some(group) => format!("{}, {group}", self.display_name),
        }
    }

    pub(crate) fn face(&self) -> StatusBadge {
        match self.kind {
            TransitionKind::Firing
            | TransitionKind::Updated
            | TransitionKind::DataResumed
            | TransitionKind::Unmuted
            | TransitionKind::Reminded
            | TransitionKind::Acknowledged => StatusBadge::of_severity(self.severity),
            TransitionKind::DataStopped => StatusBadge::of(Some(SloState::NoData)),
            TransitionKind::Resolved => StatusBadge {
                icon: "ok",
                word: "Ended",
                class: "ok",
            },
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match (self.kind, self.severity) {
            (TransitionKind::Firing, Severity::Page) => "Page",
            (TransitionKind::Firing, Severity::Ticket) => "Ticket",
            (TransitionKind::Updated, _) => "Worse",
            (TransitionKind::DataStopped, _) => "No data",
            (TransitionKind::DataResumed, _) => "Data back",
            (TransitionKind::Unmuted, _) => "Still firing",
            (TransitionKind::Reminded, _) => "Reminded",
            (TransitionKind::Acknowledged, _) => "Acknowledged",
            (TransitionKind::Resolved, _) => "Ended",
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(crate) fn at_text(&self, now: &Timestamp) -> String {
        times::moment(self.at, *now)
    }

    pub(crate) fn rfc3339(&self) -> String {
        self.at.to_rfc3339()
    }

    pub(crate) fn windows(&self) -> String {
        if self.threshold_rule.is_some() {
            return format::window(self.long_window_seconds);
        }
        format!(
            "{} + {}",
            format::window(self.long_window_seconds),
            format::window(self.short_window_seconds)
        )
    }

    /// Returns what it meant, without the SLO's name.
    pub(crate) fn text(&self) -> String {
        match (&self.cost, self.kind, &self.threshold_rule) {
            (Some(cost), TransitionKind::Resolved, _) => cost.clone(),
            (None, TransitionKind::Resolved, _) => format!("{} is over", self.rule),
            _ if self.update.is_some() => self.update.clone().unwrap_or_default(),
            (_, _, Some(limit)) => limit.sentence(),
            (_, _, None) => format!(
                "{} over {} for {}: {} of {} bad",
                format::burn_rate(self.burn_rate_long, self.factor),
                format::factor(self.factor),
                self.windows(),
                format::count(self.bad_events),
                format::count(self.total_events),
            ),
        }
    }

    pub(crate) fn customers_text(&self) -> String {
        match self.customers_affected {
            Some(affected) if self.customers_affected_is_upper_bound => {
                up_to(&format::count(affected))
            }
            Some(affected) => format::count(affected),
            None => format::NONE.to_owned(),
        }
    }

    pub(crate) fn bad_text(&self) -> String {
        format::count(self.bad_events)
    }

    pub(crate) fn peak_text(&self) -> String {
        format::burn_rate(self.burn_rate_long, self.factor)
    }

    pub(crate) fn notified_text(&self) -> String {
        if let Some(suppression) = self.suppression {
            return format!("not notified: {}", suppression.text());
        }
        if self.deliveries.is_empty() {
            return "not notified: no target".to_owned();
        }
        let texts: Vec<String> = self.deliveries.iter().map(outcome).collect();
        texts.join(" · ")
    }
}

/// Formats `oncall: delivered 202, 2 attempts`.
fn outcome(delivery: &Delivery) -> String {
    let Delivery {
        target, attempts, ..
    } = delivery;
    let answer = delivery
        .http_status
        .map_or_else(String::new, |status| format!(" {status}"));
    let attempts = if *attempts > 1 {
        format!(", {attempts} attempts")
    } else {
        String::new()
    };
    let state = delivery.state.in_words();
    format!("{target}: {state}{answer}{attempts}")
}

//! An incident as the page and the API show it.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    answers::{self, IncidentAnswer},
    charts::IncidentCharts,
    then_and_now::{self, ThenAndNow},
    timeline::{self, TimelineEntry},
};
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            incident::{Acknowledgement, IncidentNote, IncidentSnapshot},
            snapshot::{AlertSnapshot, EpisodeSummary},
        },
        model::{format, group::Group, ids::Name, time::Timestamp},
        notify::{delivery::DeliveryState, detection, wording},
        slo::Severity,
    },
    store::{AlertTransition, IncidentDelivery, Tx},
    web::{
        error::WebError,
        pages::{
            sentence,
            slo::groups,
            summary::{StatusBadge, Summary},
        },
        reader::times,
        state::WebState,
    },
};

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct IncidentView {
    pub(super) id: Uuid,
    pub(super) as_of: Timestamp,
    pub(super) slo: Name,
    pub(super) display_name: String,
    pub(super) group: Option<String>,
    pub(super) severity: Severity,
    pub(super) rule: Name,
    pub(super) began_at: Option<Timestamp>,
    pub(super) fired_at: Timestamp,
    /// `None` until it ends.
    pub(super) ended_at: Option<Timestamp>,
    pub(super) detection_delay_seconds: Option<u64>,
    pub(super) detection: Option<String>,
    pub(super) acknowledged: Option<Acknowledgement>,
    /// Its cost, after its end.
    pub(super) incident_summary: Option<EpisodeSummary>,
    /// The snapshot that was notified when it fired.
    pub(super) alert_at_firing: AlertSnapshot,
    /// The snapshot of the last notification.
    #[serde(rename = "latest_alert")]
    pub(super) last: AlertSnapshot,
    /// The current state of the SLO, until the incident ends.
    #[serde(rename = "now")]
    pub(super) live: Option<Summary>,
    pub(super) answers: Vec<IncidentAnswer>,
    pub(super) timeline: Vec<TimelineEntry>,
    pub(super) notes: Vec<IncidentNote>,
    /// The counts around its beginning, as known when it fired.
    snapshot_at_firing: Option<IncidentSnapshot>,
    snapshot_at_end: Option<IncidentSnapshot>,
    #[serde(skip)]
    slo_path: String,
}

impl IncidentView {
    /// Reads the view. `transitions` are all of one episode, oldest first.
    pub(super) async fn read(
        state: &WebState,
        tx: &mut Tx<'_>,
        transitions: &[AlertTransition],
        live: Option<Summary>,
    ) -> Result<Self, WebError> {
        let (Some(first), Some(last)) = (transitions.first(), transitions.last()) else {
            return Err(WebError::NoSuchPage);
        };
        let (alert_at_firing, last) = (first.facts.clone(), last.facts.clone());
        let (id, slo) = (alert_at_firing.episode, first.slo);
        let acknowledged = tx.acknowledgements(&[id]).await?.remove(&id);
        let ids: Vec<Uuid> = transitions.iter().map(|one| one.id).collect();
        let deliveries = tx.incident_deliveries(&ids).await?;
        let deliveries = state.shown(&alert_at_firing.slo, deliveries);
        let notified = notified(&deliveries);
        let notes = tx.notes(id).await?;
        let snapshot_at_firing = tx.incident_snapshot(id, TransitionKind::Firing).await?;
        let snapshot_at_end = tx.incident_snapshot(id, TransitionKind::Resolved).await?;
        let fired_at = alert_at_firing
            .fired_at
            .unwrap_or(alert_at_firing.evaluated_at);
        let ended = transitions
            .iter()
            .find(|one| one.facts.kind == TransitionKind::Resolved);
        let mut view = Self {
            id,
            as_of: state.clock.now(),
            slo: alert_at_firing.slo.clone(),
            display_name: alert_at_firing.display_name.clone(),
            group: alert_at_firing.group.as_ref().map(Group::text),
            severity: alert_at_firing.severity,
            rule: alert_at_firing.rule.clone(),
            began_at: alert_at_firing.began_at,
            fired_at,
            ended_at: ended.map(|end| end.at),
            detection_delay_seconds: alert_at_firing
                .began_at
                .map(|first_bad| fired_at.saturating_since(first_bad).as_secs()),
            detection: detection(&alert_at_firing),
            incident_summary: ended.and_then(|end| end.facts.episode_summary.clone()),
            timeline: timeline::of(transitions, deliveries, acknowledged.as_ref(), &notes),
            acknowledged,
            notes,
            snapshot_at_firing,
            snapshot_at_end,
            slo_path: groups::path_of(
                &alert_at_firing.slo,
                alert_at_firing.group.as_ref().map(|_| slo),
            ),
            alert_at_firing,
            last,
            live: live.filter(|_| ended.is_none()),
            answers: Vec::new(),
        };
        view.answers = answers::of(&view, &notified);
        Ok(view)
    }

    pub(super) fn title(&self) -> String {
        let state = match (self.ended_at, self.severity) {
            (Some(_), _) => "ended",
            (None, Severity::Page) => "PAGING",
            (None, Severity::Ticket) => "TICKET",
        };
        format!("{} · {state} · Throughline", self.display_name)
    }

    pub(super) fn favicon(&self) -> &'static str {
        match (self.ended_at, self.severity) {
            (Some(_), _) => "ok",
            (None, Severity::Page) => "page",
            (None, Severity::Ticket) => "ticket",
        }
    }

    pub(super) fn tone(&self) -> &'static str {
        self.favicon()
    }

    pub(super) fn slo_path(&self) -> &str {
        &self.slo_path
    }

    pub(super) fn severity_text(&self) -> &'static str {
        StatusBadge::severity_text(self.severity)
    }

    /// Formats `Sun 22 Nov 09:49 to 10:41 UTC, 52 min`, or `since 09:49 UTC, 52 min`.
    pub(super) fn when(&self) -> String {
        let began = self.began_at.unwrap_or(self.fired_at);
        let from = times::moment(began, self.as_of);
        let until = self.ended_at.unwrap_or(self.as_of);
        let lasted = until.saturating_since(began);
        let lasting = format::lasting(lasted.max(Duration::from_secs(1)));
        match self.ended_at {
            Some(ended) => format!("{from} to {}, {lasting}", times::named(ended, self.as_of)),
            None => format!("since {}, {lasting}", times::named(began, self.as_of)),
        }
    }

    /// Returns its state in one sentence.
    pub(super) fn lead(&self) -> String {
        match (self.ended_at, &self.acknowledged) {
            (Some(_), _) => format!("{}.", wording::ending(&self.last)),
            (None, Some(_)) => "Still firing. Acknowledged.".to_owned(),
            (None, None) => "Still firing. It is not acknowledged.".to_owned(),
        }
    }

    pub(super) fn cost_text(&self) -> Option<String> {
        let cost = self.incident_summary.as_ref()?;
        Some(wording::cost(&self.last, cost))
    }

    pub(super) fn headline(&self) -> String {
        wording::headline(&self.alert_at_firing)
    }

    /// Returns the other contents of the first message, by term.
    pub(super) fn said_terms(&self) -> Vec<(&'static str, String)> {
        let alert_at_firing = &self.alert_at_firing;
        let mut terms = vec![("Objective", wording::objective(alert_at_firing))];
        if let Some(slowest) = &alert_at_firing.slowest_stage {
            let text = format!("{}: {}", slowest.title, wording::extra_time(slowest));
            terms.push(("Slow stage", text));
        }
        terms.extend(alert_at_firing.differences.iter().map(|difference| {
            let text = format!(
                "{} = {}: {}",
                difference.attribute,
                difference.value,
                wording::shares(difference)
            );
            ("In common", text)
        }));
        terms.extend(alert_at_firing.worst.iter().map(|worst| {
            let text = format!("{}, trace {}", worst.label, worst.trace_id);
            ("Worst", text)
        }));
        terms
    }

    pub(super) fn then_and_now(&self) -> Vec<ThenAndNow> {
        then_and_now::rows(self)
    }

    pub(super) fn then_title(&self) -> String {
        format!(
            "When it fired, {}",
            times::moment(self.fired_at, self.as_of)
        )
    }

    pub(super) fn now_title(&self) -> String {
        then_and_now::now_title(self)
    }

    /// Returns its current development, until it ends.
    pub(super) fn course(&self) -> Option<String> {
        sentence::course(self.live.as_ref()?, self.as_of)
    }

    pub(super) fn runbook(&self) -> Option<&str> {
        let runbook = self.last.runbook.as_deref()?;
        (runbook.starts_with("https://") || runbook.starts_with("http://")).then_some(runbook)
    }

    /// Returns the URL of the form to silence this alert.
    pub(super) fn silence_path(&self) -> String {
        format!("/silences/new?slo={}", self.slo)
    }

    pub(super) fn note_text(&self, note: &IncidentNote) -> String {
        format!(
            "{} {}",
            times::moment(note.at, self.as_of),
            note.by.as_deref().unwrap_or("someone")
        )
    }

    /// Returns the charts; after its end, those of the whole incident.
    pub(super) fn charts(&self) -> Option<IncidentCharts> {
        let at_end = self.snapshot_at_end.as_ref().map(|of| ("All of it", of));
        let at_firing = self.snapshot_at_firing.as_ref();
        let (title, snapshot) = at_end.or(at_firing.map(|of| ("As it began", of)))?;
        Some(IncidentCharts::new(title, snapshot, &self.alert_at_firing))
    }
}

/// Returns the targets that were notified, without duplicates.
fn notified(deliveries: &[IncidentDelivery]) -> Vec<String> {
    let delivered = deliveries
        .iter()
        .filter(|one| DeliveryState::parse(&one.state) == Some(DeliveryState::Delivered));
    let targets: BTreeSet<&String> = delivered.map(|one| &one.target).collect();
    targets.into_iter().cloned().collect()
}

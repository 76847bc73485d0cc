//! The preview of a silence: the current alerts and the recent notifications that it would
//! suppress.

use std::{sync::Arc, time::Duration};

use axum::{http::StatusCode, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::request::SilenceRequest;
use crate::{
    domain::{
        alerting::{
            alert::{AlertState, AlertStatus, TransitionKind},
            silence::{AlertLabels, Matcher},
        },
        model::{
            format,
            group::Group,
            ids::Name,
            time::{TimeRange, Timestamp},
        },
        slo::{Severity, Slo},
    },
    store::{GroupRecord, SloRecord, TransitionsOf},
    web::{
        error::WebError,
        page::Negotiation,
        pages::summary::StatusBadge,
        state::WebState,
        write::{body::ParsedBody, who::Who},
    },
};

const LOOK_BACK: Duration = Duration::from_hours(7 * 24);
/// The maximum number of examined transitions; a sample is enough if there are more in a week.
const MOST_TRANSITIONS: u32 = 1_000;
const SEVERITIES: [Severity; 2] = [Severity::Page, Severity::Ticket];

/// The alerts that matchers match.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct PreviewView {
    /// Current alerts, and groups of which one fires.
    pub(super) matches: Vec<MatchedAlert>,
    /// Notifications of the last seven days that would have been suppressed; newest first.
    pub(super) would_have_muted: Vec<MutedMessage>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MatchedAlert {
    pub(super) slo: Name,
    pub(super) display_name: String,
    pub(super) group: Option<String>,
    pub(super) severity: Severity,
    pub(super) state: AlertState,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MutedMessage {
    pub(super) at: Timestamp,
    pub(super) slo: Name,
    pub(super) display_name: String,
    pub(super) group: Option<String>,
    pub(super) severity: Severity,
    pub(super) kind: TransitionKind,
    pub(super) incident: Uuid,
}

pub(in crate::web) async fn post(
    asked: Negotiation,
    state: WebState,
    who: Who,
    ParsedBody { body, .. }: ParsedBody<SilenceRequest>,
) -> Response {
    let seen = async {
        let matchers = body.draft(who)?.matchers().map_err(WebError::BadSilence)?;
        view(&state, &matchers).await
    };
    asked.json(&state, StatusCode::OK, seen.await)
}

pub(super) async fn view(state: &WebState, matchers: &[Matcher]) -> Result<PreviewView, WebError> {
    let now = state.clock.now();
    let catalog = Arc::clone(&state.catalog.borrow());
    let mut tx = state.reads().begin("preview a silence").await?;
    let mut alerts = Vec::new();
    for record in tx.slos().await? {
        if let Some(slo) = catalog.slos.get(&record.name) {
            alerts.extend(matched(slo, None, &record, matchers));
        }
    }
    for GroupRecord { group, record } in tx.groups_with_alerts().await? {
        if let Some(slo) = catalog.slos.get(&record.name) {
            let group = state.shown(&slo.name, group);
            alerts.extend(matched(slo, Some(&group), &record, matchers));
        }
    }
    let seen = state.seen_names();
    let of = seen.as_deref();
    let of = of.map_or(TransitionsOf::All, TransitionsOf::Named);
    let transitions = tx
        .transitions(of, TimeRange::ending_at(now, LOOK_BACK), MOST_TRANSITIONS)
        .await?;
    let would_have_muted = transitions
        .into_iter()
        // The end of a notified alert is never suppressed.
        .filter(|transition| transition.facts.kind != TransitionKind::Resolved)
        .map(|transition| {
            let slo = transition.facts.slo.clone();
            state.shown(&slo, transition)
        })
        .filter(|transition| are_met(matchers, &AlertLabels::of_facts(&transition.facts)))
        .map(|transition| MutedMessage {
            at: transition.at,
            group: transition.facts.group.as_ref().map(Group::text),
            slo: transition.facts.slo,
            display_name: transition.facts.display_name,
            severity: transition.facts.severity,
            kind: transition.facts.kind,
            incident: transition.facts.episode,
        });
    Ok(PreviewView {
        would_have_muted: would_have_muted.collect(),
        matches: alerts,
    })
}

fn matched(
    slo: &Slo,
    group: Option<&Group>,
    record: &SloRecord,
    matchers: &[Matcher],
) -> Vec<MatchedAlert> {
    let alerts: &[AlertStatus] = record.status.as_ref().map_or(&[], |status| &status.alerts);
    let state = |severity| {
        let alert = alerts.iter().find(|alert| alert.severity == severity);
        alert.map_or(AlertState::Inactive, |alert| alert.state)
    };
    SEVERITIES
        .into_iter()
        .filter(|severity| slo.alerting.declares(*severity))
        .filter(|severity| are_met(matchers, &AlertLabels::of_slo(slo, group, *severity)))
        .map(|severity| MatchedAlert {
            slo: slo.name.clone(),
            display_name: slo.display_name.clone(),
            group: group.map(Group::text),
            severity,
            state: state(severity),
        })
        .collect()
}

fn are_met(matchers: &[Matcher], labels: &AlertLabels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl PreviewView {
    /// Formats `3 alerts match, 1 of them fires now; 4 messages of the last 7 days would have been
    /// muted`.
    pub(super) fn sentence(&self) -> String {
        let firing = self.matches.iter().filter(|alert| alert.fires()).count();
        let matching = match (self.matches.len(), firing) {
            (0, _) => "No alert matches".to_owned(),
            (1, 0) => "1 alert matches and does not fire".to_owned(),
            (1, _) => "1 alert matches and fires now".to_owned(),
            (n, 0) => format!("{n} alerts match, none of them fires now"),
            (n, 1) => format!("{n} alerts match, 1 of them fires now"),
            (n, firing) => format!("{n} alerts match, {firing} of them fire now"),
        };
        let muted = i64::try_from(self.would_have_muted.len()).unwrap_or(i64::MAX);
        format!(
            "{matching}; in the last 7 days it would have muted {}",
            format::counted(muted, "message")
        )
    }
}

impl MatchedAlert {
    pub(super) fn severity_text(&self) -> &'static str {
        StatusBadge::severity_text(self.severity)
    }

    pub(super) fn fires(&self) -> bool {
        self.state != AlertState::Inactive
    }
}

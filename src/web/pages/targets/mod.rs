//! `/targets`: the notification targets, their state, and a test for each.

pub(in crate::web) mod test;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        model::{format, ids::Name, time::Timestamp},
        notify::delivery::{TargetState, circuit::TargetCondition},
        slo::TargetKind,
    },
    store::{LastHeartbeat, OpenCheck, TargetTraffic},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        reader::times,
        state::WebState,
    },
};

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct TargetsView {
    as_of: Timestamp,
    targets: Vec<TargetView>,
    /// Problems of the service itself, oldest first.
    self_checks: Vec<OpenCheck>,
    heartbeat: LastHeartbeat,
}

/// Without addresses and keys, which may be secrets.
#[derive(Debug, JsonSchema, Serialize)]
struct TargetView {
    name: Name,
    kind: &'static str,
    /// `closed`, `open` or `misconfigured`, as of a circuit breaker.
    state: &'static str,
    state_since: Option<Timestamp>,
    fallback: Option<Name>,
    #[serde(flatten)]
    traffic: TargetTraffic,
}

pub(crate) async fn get(asked: Negotiation, state: WebState) -> Response {
    let view = view(&state).await;
    asked.reply(&state, view, |view| {
        let mut layout = Layout::new(&state, Section::Targets, "Targets · Throughline");
        layout.json = Some("/api/v1/targets".to_owned());
        TargetsPage { layout, view }
    })
}

async fn view(state: &WebState) -> Result<TargetsView, WebError> {
    let now = state.clock.now();
    let catalog = Arc::clone(&state.catalog.borrow());
    let mut tx = state.reads().begin("read the targets").await?;
    let mut traffic = tx.traffic(now).await?;
    let states: BTreeMap<Name, TargetState> = tx.target_states().await?.into_iter().collect();
    // These name SLOs of all teams.
    let (self_checks, heartbeat) = if state.is_restricted() {
        (Vec::new(), LastHeartbeat::default())
    } else {
        (tx.open_checks().await?, tx.last_heartbeat().await?)
    };
    let targets = catalog.targets.values().map(|target| {
        let condition = states.get(&target.name).map(|state| state.health.condition);
        TargetView {
            traffic: traffic.remove(&target.name).unwrap_or_default(),
            name: target.name.clone(),
            kind: kind_text(&target.kind),
            state: condition.map_or("closed", TargetCondition::as_str),
            state_since: condition.and_then(since),
            fallback: target.fallback.clone(),
        }
    });
    Ok(TargetsView {
        as_of: now,
        targets: targets.collect(),
        self_checks,
        heartbeat,
    })
}

const fn since(condition: TargetCondition) -> Option<Timestamp> {
    match condition {
        TargetCondition::Closed { .. } => None,
        TargetCondition::Open { since, .. } | TargetCondition::Misconfigured { since, .. } => {
            Some(since)
        }
    }
}

/// Returns the name of a kind of target.
pub(crate) const fn kind_text(kind: &TargetKind) -> &'static str {
    match kind {
        TargetKind::Webhook { .. } => "webhook",
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => "Slack",
        TargetKind::PagerDuty { .. } => "PagerDuty",
        TargetKind::Teams { .. } => "Microsoft Teams",
        TargetKind::Alertmanager { .. } => "Alertmanager",
    }
}

impl TargetView {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn state_text(&self, now: &Timestamp) -> String {
        let state = match self.state {
            "closed" => "reachable",
            "open" => "unreachable",
            state => state,
        };
        match self.state_since {
            None => state.to_owned(),
            Some(since) => format!("{state} since {}", times::moment(since, *now)),
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn delivered_text(&self, now: &Timestamp) -> String {
        let at = self.traffic.delivered_at;
        at.map_or_else(|| "never".to_owned(), |at| times::moment(at, *now))
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn waiting_text(&self, now: &Timestamp) -> String {
        let count = format::count(self.traffic.waiting);
        match self.traffic.waiting_since {
            None => count,
            Some(since) => format!(
                "{count}, for {}",
                format::lasting(now.saturating_since(since))
            ),
        }
    }

    fn dead_text(&self) -> String {
        format::count(self.traffic.failed)
    }
}

impl TargetsPage {
    fn heartbeat_text(&self) -> String {
        let LastHeartbeat { sent_at, withheld } = &self.view.heartbeat;
        let last = sent_at.map_or_else(
            || "never".to_owned(),
            |at| times::moment(at, self.view.as_of),
        );
        match withheld.as_slice() {
            [] if sent_at.is_none() => {
                "None is sent: name a target with --heartbeat-target.".to_owned()
            }
            [] => format!("Sent last: {last}."),
            reasons => format!(
                "Withheld, because {}. Sent last: {last}.",
                reasons.join("; ")
            ),
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn opened_text(&self, check: &&OpenCheck) -> String {
        times::moment(check.opened_at, self.view.as_of)
    }
}

#[derive(Template)]
#[template(path = "targets.html", config = "src/web/askama.toml")]
struct TargetsPage {
    layout: Layout,
    view: TargetsView,
}

//! Acknowledges an incident: stores it, and notifies the targets of the incident.

use axum::{extract::Path, http::StatusCode, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::found;
use crate::{
    domain::{
        alerting::{
            alert::{AlertUpdate, TransitionKind},
            incident::Acknowledgement,
            snapshot::AlertSnapshot,
        },
        model::ids::Name,
        notify::delivery::alert_key,
    },
    store::{AlertTransition, NewDeliveries, Tx},
    web::{
        error::WebError,
        page::Negotiation,
        state::WebState,
        write::{body::ParsedBody, see_other, who::Who},
    },
};

#[derive(Debug, JsonSchema, Deserialize)]
pub(in crate::web) struct AcknowledgeForm {
    by: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct AcknowledgedView {
    incident: String,
    acknowledged: Acknowledgement,
}

/// Acknowledges through the API. A repetition changes nothing: the first acknowledgement counts.
pub(in crate::web) async fn through_api(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
    ParsedBody { body, .. }: ParsedBody<AcknowledgeForm>,
) -> Response {
    let acknowledged = take_on(&state, &id, who.or(body.by.as_deref())).await;
    let view = acknowledged.map(|acknowledged| AcknowledgedView {
        incident: id,
        acknowledged,
    });
    asked.json(&state, StatusCode::OK, view)
}

/// Acknowledges by the button of the incident's page.
pub(in crate::web) async fn submit(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
    ParsedBody { body, .. }: ParsedBody<AcknowledgeForm>,
) -> Response {
    match take_on(&state, &id, who.or(body.by.as_deref())).await {
        Ok(_) => see_other(&format!("/incidents/{id}")),
        Err(error) => asked.refuse(&state, &error),
    }
}

/// Returns the acknowledgement that counts.
pub(super) async fn take_on(
    state: &WebState,
    id: &str,
    by: Option<String>,
) -> Result<Acknowledgement, WebError> {
    let acknowledged = Acknowledgement {
        at: state.clock.now(),
        by,
    };
    let mut tx = state.store.begin("acknowledge an incident").await?;
    let transitions = found(state, &mut tx, id).await?;
    let Some(last) = transitions.last() else {
        return Err(WebError::NoSuchPage);
    };
    let episode = last.facts.episode;
    if last.facts.kind == TransitionKind::Resolved {
        return Err(WebError::IncidentOver);
    }
    if !tx.acknowledge(episode, &acknowledged).await? {
        let mut first = tx.acknowledgements(&[episode]).await?;
        return first.remove(&episode).ok_or(WebError::NoSuchPage);
    }
    enqueue_notifications(&mut tx, last, &acknowledged).await?;
    tx.commit().await?;
    tracing::info!(
        incident = %episode, user = acknowledged.by.as_deref().unwrap_or("someone"),
        "an incident of `{}` was acknowledged", last.facts.slo
    );
    Ok(acknowledged)
}

/// Enqueues the notifications, with the numbers of the last one: nothing is evaluated for it.
async fn enqueue_notifications(
    tx: &mut Tx<'_>,
    last: &AlertTransition,
    acknowledged: &Acknowledgement,
) -> Result<(), WebError> {
    let facts = &last.facts;
    let version = tx
        .raise_version(last.slo, facts.severity, facts.episode)
        .await?;
    let Some(version) = version else {
        return Err(WebError::IncidentOver);
    };
    let acknowledgement = AlertTransition {
        id: Uuid::now_v7(),
        at: acknowledged.at,
        suppression: None,
        facts: AlertSnapshot {
            kind: TransitionKind::Acknowledged,
            version,
            development: Some(AlertUpdate::Acknowledged),
            acknowledged: Some(acknowledged.clone()),
            ..facts.clone()
        },
        ..last.clone()
    };
    let targets = tx
        .notified_targets(
            acknowledgement.slo,
            acknowledgement.facts.severity,
            acknowledgement.facts.episode,
        )
        .await?;
    enqueue(tx, &acknowledgement, &targets).await
}

async fn enqueue(
    tx: &mut Tx<'_>,
    transition: &AlertTransition,
    targets: &[Name],
) -> Result<(), WebError> {
    tx.insert_transition(transition).await?;
    let facts = &transition.facts;
    let queued = NewDeliveries {
        transition: transition.id,
        targets,
        ordering_key: &alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
        severity: facts.severity,
    };
    tx.enqueue_deliveries(queued, transition.at).await?;
    Ok(())
}

//! `/incidents/{id}`: an incident from its beginning to its end.
//!
//! Beginning and end are shown from the stored snapshots, so they stay correct when counts are
//! corrected or deleted and when the SLO is edited or removed. The current state of the SLO is
//! shown only while the incident is not over.

mod acknowledge;
mod act;
mod answers;
mod charts;
mod then_and_now;
mod timeline;
mod view;

use askama::Template;
use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

pub(in crate::web) use acknowledge::{
    AcknowledgeForm, AcknowledgedView, submit as acknowledge,
    through_api as acknowledge_through_api,
};
pub(in crate::web) use act::{confirm, perform};
use charts::IncidentCharts;
pub(in crate::web) use view::IncidentView;

use crate::{
    domain::{alerting::incident::IncidentNote, model::text::plain},
    store::{AlertTransition, Tx},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        pages::summary::Summary,
        state::WebState,
        write::{body::ParsedBody, see_other, who::Who},
    },
};

/// The maximum number of characters of a note.
const LONGEST_NOTE: usize = 2_000;

pub(crate) async fn get(asked: Negotiation, state: WebState, Path(id): Path<String>) -> Response {
    let view = view(&state, &id).await;
    asked.reply(&state, view, |view| IncidentPage::new(&state, view))
}

/// Redirects from the short URL in messages.
pub(crate) async fn short(Path(id): Path<String>) -> Response {
    let path: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let location = format!("/incidents/{path}");
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

async fn view(state: &WebState, id: &str) -> Result<IncidentView, WebError> {
    let mut tx = state.reads().begin("read an incident").await?;
    let transitions = found(state, &mut tx, id).await?;
    let transitions: Vec<_> = transitions
        .into_iter()
        .map(|one| shown(state, one))
        .collect();
    let live = match transitions.first() {
        Some(first) => live(state, &mut tx, first).await?,
        None => None,
    };
    IncidentView::read(state, &mut tx, &transitions, live).await
}

/// Returns a transition as the reader may see it.
fn shown(state: &WebState, one: AlertTransition) -> AlertTransition {
    let slo = one.facts.slo.clone();
    state.shown(&slo, one)
}

/// Returns the current state of the SLO or group of the incident; `None` if it is no longer
/// declared.
async fn live(
    state: &WebState,
    tx: &mut Tx<'_>,
    first: &AlertTransition,
) -> Result<Option<Summary>, WebError> {
    let slo = state.catalog.borrow().slos.get(&first.facts.slo).cloned();
    let Some(slo) = slo else {
        return Ok(None);
    };
    let record = match first.facts.group {
        None => tx.slo(&slo.name).await?,
        Some(_) => tx.group(first.slo).await?.map(|group| group.record),
    };
    let record = record.filter(|record| record.status.is_some());
    Ok(record.map(|record| Summary::new(&slo, Some(&record))))
}

/// Returns all its transitions, oldest first; at least its beginning.
async fn found(
    state: &WebState,
    tx: &mut Tx<'_>,
    id: &str,
) -> Result<Vec<AlertTransition>, WebError> {
    let unknown = || WebError::NoSuchIncident { id: id.to_owned() };
    let episode: Uuid = id.parse().map_err(|_| unknown())?;
    let transitions = tx.transitions_of_episode(episode).await?;
    let first = transitions.first().ok_or_else(unknown)?;
    if !state.sees(&first.facts.slo) {
        return Err(unknown());
    }
    Ok(transitions)
}

#[derive(Debug, JsonSchema, Deserialize)]
pub(crate) struct NoteForm {
    #[serde(default)]
    text: String,
    by: Option<String>,
}

/// Adds a note, from the page or through the API.
pub(crate) async fn add_note(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
    ParsedBody { body, once }: ParsedBody<NoteForm>,
) -> Response {
    let written = async {
        let now = state.clock.now();
        let text = body.text.trim();
        if text.is_empty() {
            return Err(WebError::Unreadable("the note is empty".to_owned()));
        }
        let note = IncidentNote {
            id: Uuid::now_v7(),
            at: now,
            by: who.or(body.by.as_deref()),
            text: plain(text, LONGEST_NOTE),
        };
        let mut tx = state.store.begin("write a note").await?;
        if let Some(answer) = once.answered(&mut tx, now).await? {
            return Ok(answer);
        }
        let episode = found(&state, &mut tx, &id)
            .await?
            .first()
            .map(|first| first.facts.episode);
        if let Some(episode) = episode {
            tx.add_note(episode, &note).await?;
        }
        let answer = serde_json::to_value(&note).unwrap_or_default();
        once.keep(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    };
    let path = format!("/incidents/{id}#h-notes");
    match written.await {
        Ok(_) if asked.wants_page() => see_other(&path),
        written => asked.json(&state, StatusCode::CREATED, written),
    }
}

#[derive(Template)]
#[template(path = "incident.html", config = "src/web/askama.toml")]
struct IncidentPage {
    layout: Layout,
    charts: Option<IncidentCharts>,
    /// True if the SLO is declared, and so has a page.
    is_declared: bool,
    view: IncidentView,
}

impl IncidentPage {
    fn new(state: &WebState, view: IncidentView) -> Self {
        let mut layout = Layout::new(state, Section::Alerts, view.title());
        layout.icon = view.favicon();
        layout.json = Some(format!("/api/v1/incidents/{}", view.id));
        Self {
            charts: view.charts(),
            is_declared: state.catalog.borrow().slos.contains_key(&view.slo),
            layout,
            view,
        }
    }
}

//! `/silences`: all silences, with their authors, reasons and ends.
//!
//! Pages and API offer the same: list, show, preview, create and end silences. `evaluate` applies
//! them when an alert changes.

mod form;
mod preview;
mod request;
mod view;

use std::time::Duration;

use askama::Template;
use axum::{extract::Path, http::StatusCode, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(in crate::web) use form::{get as form, post as submit};
pub(in crate::web) use preview::{PreviewView, post as preview};
pub(in crate::web) use request::SilenceRequest;
pub(in crate::web) use view::SilenceView;

use crate::{
    domain::{
        alerting::silence::{Ended, Silence, SilenceState, SilenceTerms},
        model::time::Timestamp,
    },
    store::{ListPosition, SILENCES_AT_ONCE, Tx},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        query::{self, Parameters, Params, next_part},
        state::WebState,
        write::{body::ParsedBody, see_other, who::Who},
    },
};

/// The time for which an expired silence is listed.
pub(in crate::web) const REMEMBERED: Duration = Duration::from_hours(7 * 24);

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct SilencesView {
    as_of: Timestamp,
    /// Of those that end last, at most 1,000: active ones first, then pending ones, then those that
    /// expired within seven days.
    silences: Vec<SilenceView>,
    /// The value of `before` for the next page, which has those that end earlier.
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    /// `active`, `pending` or `expired`.
    state: Option<String>,
    #[serde(default)]
    before: String,
}

impl Parameters for Wanted {
    const NAMES: &'static [&'static str] = &["state", "before"];
}

pub(crate) async fn list(
    asked: Negotiation,
    state: WebState,
    Params(wanted): Params<Wanted>,
) -> Response {
    let view = all(&state, &wanted).await;
    let next = view.as_ref().ok().and_then(|view| view.next.as_deref());
    let next = next.map(|next| next_query(wanted.state.as_deref(), next));
    let href = next
        .as_ref()
        .map(|query| format!("/api/v1/silences?{query}"));
    let answer = asked.reply(&state, view, |view| SilencesPage {
        next_href: next.map(|query| format!("/silences?{query}")),
        ..SilencesPage::new(&state, view)
    });
    link_next(answer, href.as_deref())
}

fn next_query(state: Option<&str>, next: &str) -> String {
    let state = state.map_or_else(String::new, |state| format!("state={state}&"));
    format!("{state}before={next}")
}

async fn all(state: &WebState, wanted: &Wanted) -> Result<SilencesView, WebError> {
    let known = [
        SilenceState::Active,
        SilenceState::Pending,
        SilenceState::Expired,
    ];
    let known = known.map(SilenceState::as_str);
    if wanted
        .state
        .as_deref()
        .is_some_and(|state| !known.contains(&state))
    {
        let known = known.join(", ");
        return Err(WebError::Unreadable(format!("`state` is one of {known}")));
    }
    let now = state.clock.now();
    let mut tx = state.reads().begin("read the silences").await?;
    let position = query::before(&wanted.before)?;
    let silences = tx.silences_from(now - REMEMBERED, position).await?;
    let position = |silence: &Silence| ListPosition {
        at: silence.ends_at(),
        id: silence.id,
    };
    let next = next_part(&silences, SILENCES_AT_ONCE, position).map(ListPosition::text);
    let seen = silences
        .into_iter()
        .filter(|silence| state.sees_silence(&silence.terms));
    let views = seen.map(|silence| SilenceView::new(&state.shown_silence(silence), now));
    let is_wanted = |view: &SilenceView| {
        let state = wanted.state.as_deref();
        state.is_none_or(|state| state == view.state.as_str())
    };
    let mut silences: Vec<SilenceView> = views.filter(is_wanted).collect();
    silences.sort_by_key(|view| match view.state {
        SilenceState::Active => 0,
        SilenceState::Pending => 1,
        SilenceState::Expired => 2,
    });
    Ok(SilencesView {
        as_of: now,
        silences,
        next,
    })
}

pub(crate) async fn one(asked: Negotiation, state: WebState, Path(id): Path<String>) -> Response {
    let read = async {
        let mut tx = state.reads().begin("read a silence").await?;
        let silence = found(&state, &mut tx, &id).await?;
        let silence = state.shown_silence(silence);
        Ok(SilenceView::new(&silence, state.clock.now()))
    };
    asked.view(&state, read.await)
}

pub(crate) async fn create(
    asked: Negotiation,
    state: WebState,
    who: Who,
    ParsedBody { body, once }: ParsedBody<SilenceRequest>,
) -> Response {
    let created = async {
        let now = state.clock.now();
        let mut tx = state.store.begin("add a silence").await?;
        if let Some(answer) = once.answered(&mut tx, now).await? {
            return Ok(answer);
        }
        let terms = body.draft(who)?.terms(now).map_err(WebError::BadSilence)?;
        let silence = add(&state, &mut tx, terms, now).await?;
        let answer = serde_json::to_value(SilenceView::new(&silence, now)).unwrap_or_default();
        once.keep(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    };
    asked.json(&state, StatusCode::CREATED, created.await)
}

/// Inserts a new silence; the caller commits the transaction.
pub(in crate::web) async fn add(
    state: &WebState,
    tx: &mut Tx<'_>,
    terms: SilenceTerms,
    now: Timestamp,
) -> Result<Silence, WebError> {
    state.check_silence(&terms)?;
    let silence = Silence {
        id: Uuid::now_v7(),
        terms,
        created_at: now,
        ended: None,
    };
    tx.insert_silence(&silence).await?;
    tell(&silence);
    Ok(silence)
}

/// Logs a new silence, since the log is kept longer than the row.
pub(crate) fn tell(silence: &Silence) {
    let matchers: Vec<String> = silence
        .terms
        .matchers
        .iter()
        .map(ToString::to_string)
        .collect();
    tracing::info!(
        silence.id = %silence.id, user = silence.terms.created_by.as_deref().unwrap_or("someone"),
        "silenced until {}: {}: {}", silence.terms.ends_at(), matchers.join(" "), silence.terms.reason
    );
}

/// Ends a silence through the API.
pub(crate) async fn delete(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
) -> Response {
    let ended = end_by_id(&state, &id, who).await;
    asked.json(&state, StatusCode::OK, ended)
}

/// Ends a silence by the button of the page.
pub(crate) async fn expire(
    asked: Negotiation,
    state: WebState,
    who: Who,
    Path(id): Path<String>,
) -> Response {
    match end_by_id(&state, &id, who).await {
        Ok(_) => see_other("/silences"),
        Err(error) => asked.refuse(&state, &error),
    }
}

pub(in crate::web) async fn end_by_id(
    state: &WebState,
    id: &str,
    who: Who,
) -> Result<SilenceView, WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("end a silence").await?;
    let silence = found(state, &mut tx, id).await?;
    end(state, &mut tx, &silence, who, now).await?;
    let silence = found(state, &mut tx, id).await?;
    tx.commit().await?;
    Ok(SilenceView::new(&state.shown_silence(silence), now))
}

/// Ends a silence. Ending an expired one changes nothing and is not an error.
pub(in crate::web) async fn end(
    state: &WebState,
    tx: &mut Tx<'_>,
    silence: &Silence,
    who: Who,
    now: Timestamp,
) -> Result<(), WebError> {
    state.check_silence(&silence.terms)?;
    let ended = Ended {
        at: now,
        by: who.or(None),
    };
    if tx.end_silence(silence.id, &ended).await? {
        tracing::info!(
            silence.id = %silence.id, user = ended.by.as_deref().unwrap_or("someone"),
            "ended a silence before its time"
        );
    }
    Ok(())
}

pub(in crate::web) async fn found(
    state: &WebState,
    tx: &mut Tx<'_>,
    id: &str,
) -> Result<Silence, WebError> {
    let unknown = || WebError::NoSuchSilence { id: id.to_owned() };
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let silence = tx.silence(id).await?;
    let silence = silence.filter(|silence| state.sees_silence(&silence.terms));
    silence.ok_or_else(unknown)
}

#[derive(Template)]
#[template(path = "silences.html", config = "src/web/askama.toml")]
struct SilencesPage {
    layout: Layout,
    next_href: Option<String>,
    view: SilencesView,
}

impl SilencesPage {
    fn new(state: &WebState, view: SilencesView) -> Self {
        let active = view
            .silences
            .iter()
            .filter(|silence| silence.state == SilenceState::Active)
            .count();
        let title = match active {
            0 => "Nothing is silenced · Throughline".to_owned(),
            1 => "1 silence active · Throughline".to_owned(),
            n => format!("{n} silences active · Throughline"),
        };
        let mut layout = Layout::new(state, Section::Silences, title);
        layout.json = Some("/api/v1/silences".to_owned());
        Self {
            layout,
            next_href: None,
            view,
        }
    }
}

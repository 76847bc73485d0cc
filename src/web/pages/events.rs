//! `/events`: reported deploys, flags and notes, to compare with changes of SLOs. Pipelines report
//! them by `POST /api/v1/events`.

use std::time::Duration;

use askama::Template;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::change_event::{ChangeEvent, ChangeEventKind, ChangeEventReport},
        model::time::{TimeRange, Timestamp},
    },
    store::{ListPosition, RecentChangeEvents, Recorded},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        pages::addresses::encoded,
        query::{self, Parameters, Params, next_part},
        reader::times,
        state::WebState,
        write::{
            body::ParsedBody,
            rate_limit::{RemainingQuota, RequestLimit},
            who::Who,
        },
    },
};

const DAYS: Duration = Duration::from_hours(28 * 24);
/// The tolerance for clocks that are ahead.
const AHEAD: Duration = Duration::from_mins(5);
const MOST: u32 = 200;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct EventsView {
    as_of: Timestamp,
    /// Only events of this service; empty for all.
    service: String,
    /// Of the last 28 days, newest first, at most 200.
    events: Vec<ChangeEvent>,
    /// The value of `before` for the next page.
    next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct EventsQuery {
    #[serde(default)]
    service: String,
    #[serde(default)]
    before: String,
}

impl Parameters for EventsQuery {
    const NAMES: &'static [&'static str] = &["service", "before"];
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(params): Params<EventsQuery>,
) -> Response {
    let view = view(&state, params).await;
    let next = view.as_ref().ok().and_then(EventsView::next_query);
    let next = next.map(|query| format!("/api/v1/events?{query}"));
    let answer = asked.reply(&state, view, |view| EventsPage::new(&state, view));
    link_next(answer, next.as_deref())
}

pub(crate) async fn post(
    asked: Negotiation,
    state: WebState,
    who: Who,
    written: ParsedBody<ChangeEventReport>,
) -> Response {
    match record(&state, who, written).await {
        Ok((answer, quota)) => {
            let mut response = (StatusCode::CREATED, Json(answer)).into_response();
            quota.set(response.headers_mut());
            response
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

/// Returns the recorded event, also if the same request was sent before.
async fn record(
    state: &WebState,
    who: Who,
    ParsedBody { body, once }: ParsedBody<ChangeEventReport>,
) -> Result<(Value, RemainingQuota), WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("record change events").await?;
    if let Some(answer) = once.answered(&mut tx, now).await? {
        let recent = tx.recent_change_events(now).await?;
        return Ok((answer, remaining(recent)));
    }
    let event = ChangeEvent {
        reported_by: who.or(None),
        ..body.check(Uuid::now_v7(), now)?
    };
    let (recorded, recent) = tx.insert_change_event(&event, now).await?;
    let quota = remaining(recent);
    if recorded == Recorded::TooMany {
        return Err(WebError::TooManyChangeEvents(quota));
    }
    let answer = serde_json::to_value(&event).unwrap_or_default();
    once.keep(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok((answer, quota))
}

/// Returns how many change events may still be reported.
fn remaining(recent: RecentChangeEvents) -> RemainingQuota {
    RequestLimit::CHANGE_EVENTS.after(recent.count, recent.fewer_in)
}

async fn view(state: &WebState, params: EventsQuery) -> Result<EventsView, WebError> {
    let EventsQuery { service, before } = params;
    let position = query::before(&before)?;
    let now = state.clock.now();
    let range = TimeRange::new(now - DAYS, now + AHEAD);
    let services = (!service.is_empty()).then(|| [service.clone()]);
    let mut tx = state.reads().begin("read change events").await?;
    let services = services.as_ref().map(<[String; 1]>::as_slice);
    let events = tx.change_events_from(position, range, services, MOST);
    let events = events.await?;
    let position = |event: &ChangeEvent| ListPosition {
        at: event.at,
        id: event.id,
    };
    Ok(EventsView {
        next: next_part(&events, MOST, position).map(ListPosition::text),
        as_of: now,
        service,
        events,
    })
}

impl EventsView {
    /// Returns the query of the next page.
    fn next_query(&self) -> Option<String> {
        let next = self.next.as_deref()?;
        let service = encoded(&self.service);
        Some(format!("service={service}&before={next}"))
    }
}

#[derive(Template)]
#[template(path = "events.html", config = "src/web/askama.toml")]
struct EventsPage {
    layout: Layout,
    rows: Vec<EventRow>,
    view: EventsView,
}

struct EventRow {
    at: String,
    at_text: String,
    kind: &'static str,
    labels: Vec<String>,
    event: ChangeEvent,
}

impl EventRow {
    fn new(event: ChangeEvent, now: Timestamp) -> Self {
        let labels = event.labels.iter();
        Self {
            at: event.at.to_rfc3339(),
            at_text: times::moment(event.at, now),
            kind: word(event.kind),
            labels: labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            event,
        }
    }
}

const fn word(kind: ChangeEventKind) -> &'static str {
    match kind {
        ChangeEventKind::Deploy => "Deploy",
        ChangeEventKind::Flag => "Flag",
        ChangeEventKind::Note => "Note",
    }
}

impl EventsPage {
    fn new(state: &WebState, view: EventsView) -> Self {
        let mut layout = Layout::new(state, Section::Events, "Events · Throughline");
        layout.json = Some("/api/v1/events".to_owned());
        let events = view.events.iter().cloned();
        Self {
            layout,
            rows: events
                .map(|event| EventRow::new(event, view.as_of))
                .collect(),
            view,
        }
    }

    fn next_href(&self) -> Option<String> {
        let query = self.view.next_query()?;
        Some(format!("/events?{query}"))
    }
}

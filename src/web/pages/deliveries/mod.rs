//! `/deliveries`: the notifications of each target, the result of every attempt, and buttons to
//! retry.

mod retry;

use askama::Template;
use axum::{extract::Path, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{
            Notification,
            delivery::{Attempt, DeliveryState},
            wording,
        },
        slo::Severity,
    },
    store::{DeliveryFilter, DeliveryRecord, Tx},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        query::{Parameters, Params, next_part},
        reader::times,
        state::WebState,
    },
};

pub(in crate::web) use retry::{DeliveryError, RetryRequest, RetryResponse, post, post_form};

const MOST: u32 = 100;

/// The states that can be filtered, in the order of the page.
const SHOWN: [DeliveryState; 6] = [
    DeliveryState::Failed,
    DeliveryState::Pending,
    DeliveryState::Expired,
    DeliveryState::Cancelled,
    DeliveryState::Collapsed,
    DeliveryState::Delivered,
];

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct DeliveriesView {
    as_of: Timestamp,
    /// Only deliveries in this state; `None` for all.
    state: Option<DeliveryState>,
    target: Option<Name>,
    /// Newest first, at most a hundred.
    deliveries: Vec<DeliveryView>,
    /// The value of `before` for the next page.
    next: Option<i64>,
}

/// Without addresses, keys and bodies, which may be secrets.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct DeliveryView {
    id: i64,
    target: Name,
    state: DeliveryState,
    severity: Severity,
    /// The notification in one line.
    summary: String,
    slo: Option<Name>,
    queued_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// Set only for an open delivery.
    next_attempt_at: Option<Timestamp>,
    fallback_for: Option<Name>,
    escalated_at: Option<Timestamp>,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct DeliveriesQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    target: String,
    before: Option<i64>,
}

impl Parameters for DeliveriesQuery {
    const NAMES: &'static [&'static str] = &["state", "target", "before"];
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(params): Params<DeliveriesQuery>,
) -> Response {
    let view = view(&state, &params).await;
    let next = view.as_ref().ok().and_then(DeliveriesView::next_query);
    let next = next.map(|query| format!("/api/v1/deliveries?{query}"));
    let answer = asked.reply(&state, view, |view| DeliveriesPage::new(&state, view));
    link_next(answer, next.as_deref())
}

pub(crate) async fn get_one(asked: Negotiation, state: WebState, Path(id): Path<i64>) -> Response {
    let view = one(&state, id).await;
    asked.reply(&state, view, |one| {
        let view = DeliveriesView {
            as_of: state.clock.now(),
            state: None,
            target: None,
            deliveries: vec![one],
            next: None,
        };
        let mut page = DeliveriesPage::new(&state, view);
        page.layout.json = Some(format!("/api/v1/deliveries/{id}"));
        page
    })
}

async fn view(state: &WebState, params: &DeliveriesQuery) -> Result<DeliveriesView, WebError> {
    let filter = filter(params)?;
    let mut tx = state.reads().begin("read deliveries").await?;
    let records = tx.delivery_records(&filter, MOST).await?;
    let ids: Vec<i64> = records.iter().map(|record| record.id).collect();
    let seen = records.into_iter().filter(|record| sees(state, record));
    let mut attempts = tx.attempts_at(&ids).await?;
    let view = |record: DeliveryRecord| {
        let attempts = attempts.remove(&record.id).unwrap_or_default();
        shown(state, record, attempts)
    };
    Ok(DeliveriesView {
        as_of: state.clock.now(),
        state: filter.state,
        target: filter.target,
        deliveries: seen.map(view).collect(),
        next: next_part(&ids, MOST, |id| *id),
    })
}

fn filter(params: &DeliveriesQuery) -> Result<DeliveryFilter, WebError> {
    let state = match params.state.as_str() {
        "" => None,
        text => Some(DeliveryState::parse(text).ok_or_else(|| {
            let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
            WebError::Unreadable(format!("`state` is one of {known}"))
        })?),
    };
    let target = match params.target.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| WebError::Unreadable("`target` is no name".to_owned()))?,
        ),
    };
    Ok(DeliveryFilter {
        state,
        target,
        before: params.before,
    })
}

/// Messages about the service itself are visible only to users who see all SLOs.
fn sees(state: &WebState, record: &DeliveryRecord) -> bool {
    match &record.content {
        Some(Notification::Alert(facts)) => state.sees(&facts.slo),
        Some(Notification::Platform(_)) | None => !state.is_restricted(),
    }
}

async fn found(state: &WebState, tx: &mut Tx<'_>, id: i64) -> Result<DeliveryRecord, WebError> {
    let record = tx.delivery_record(id).await?;
    let record = record.filter(|record| sees(state, record));
    record.ok_or_else(|| DeliveryError::NoSuchDelivery { id }.into())
}

async fn one(state: &WebState, id: i64) -> Result<DeliveryView, WebError> {
    let mut tx = state.reads().begin("read a delivery").await?;
    let record = found(state, &mut tx, id).await?;
    let mut attempts = tx.attempts_at(&[id]).await?;
    let attempts = attempts.remove(&id).unwrap_or_default();
    Ok(shown(state, record, attempts))
}

/// Returns a delivery as the reader may see it.
fn shown(state: &WebState, record: DeliveryRecord, attempts: Vec<Attempt>) -> DeliveryView {
    let Some(Notification::Alert(facts)) = &record.content else {
        return DeliveryView::new(record, attempts);
    };
    let slo = facts.slo.clone();
    DeliveryView::new(state.shown(&slo, record), state.shown(&slo, attempts))
}

impl DeliveriesView {
    /// Returns the query of the next page.
    fn next_query(&self) -> Option<String> {
        let next = self.next?;
        let state = self.state.map_or("", DeliveryState::as_str);
        let target = self.target.as_ref().map_or("", Name::as_str);
        Some(format!("state={state}&target={target}&before={next}"))
    }
}

impl DeliveryView {
    fn new(record: DeliveryRecord, attempts: Vec<Attempt>) -> Self {
        let (summary, slo) = match &record.content {
            Some(Notification::Alert(facts)) => (wording::headline(facts), Some(facts.slo.clone())),
            Some(Notification::Platform(notice)) => (notice.headline(), None),
            None => ("written by another version of the service".to_owned(), None),
        };
        Self {
            id: record.id,
            target: record.target,
            state: record.state,
            severity: record.priority,
            summary,
            slo,
            queued_at: record.due_since,
            finished_at: record.settled_at,
            next_attempt_at: record.state.is_open().then_some(record.next_attempt_at),
            fallback_for: record.fallback_for,
            escalated_at: record.escalated_at,
            attempts,
        }
    }

    const fn can_be_retried(&self) -> bool {
        matches!(
            self.state,
            DeliveryState::Failed | DeliveryState::Expired | DeliveryState::Cancelled
        )
    }

    fn class(&self) -> &'static str {
        match self.state {
            DeliveryState::Failed => "page",
            _ => "",
        }
    }
}

#[derive(Template)]
#[template(path = "deliveries.html", config = "src/web/askama.toml")]
struct DeliveriesPage {
    layout: Layout,
    tabs: Vec<Tab>,
    view: DeliveriesView,
}

/// A filter by state.
struct Tab {
    text: &'static str,
    href: String,
    is_current: bool,
}

impl DeliveriesPage {
    fn new(state: &WebState, view: DeliveriesView) -> Self {
        let mut layout = Layout::new(state, Section::Deliveries, "Deliveries · Throughline");
        layout.json = Some("/api/v1/deliveries".to_owned());
        let all = Tab {
            text: "all",
            href: "/deliveries".to_owned(),
            is_current: view.state.is_none(),
        };
        let one = |shown: DeliveryState| Tab {
            text: shown.as_str(),
            href: format!("/deliveries?state={}", shown.as_str()),
            is_current: view.state == Some(shown),
        };
        Self {
            layout,
            tabs: std::iter::once(all).chain(SHOWN.map(one)).collect(),
            view,
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn moment(&self, at: &Timestamp) -> String {
        times::moment(*at, self.view.as_of)
    }

    fn next_href(&self) -> Option<String> {
        let query = self.view.next_query()?;
        Some(format!("/deliveries?{query}"))
    }
}

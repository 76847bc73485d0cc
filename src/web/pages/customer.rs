//! `/customers/{customer}`: the customer's workflows, good and bad, and the open ones.
//! `/customers?name=` is the same for names that a path cannot contain.

use askama::Template;
use axum::{
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    addresses,
    workflows::{self, FoundView, WorkflowsQuery},
};
use crate::{
    domain::model::{
        format,
        ids::{Name, SloId},
        time::{Resolution, Timestamp},
    },
    store::CustomerTally,
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        query::{Parameters, Params},
        state::WebState,
    },
};

/// The number of days of the sums.
const DAYS: u32 = 28;

/// The customer of the page.
#[derive(Debug, Deserialize)]
pub(crate) struct CustomerQuery {
    name: String,
}

impl Parameters for CustomerQuery {
    const NAMES: &'static [&'static str] = &["name"];
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct CustomerPageView {
    as_of: Timestamp,
    customer: String,
    /// Events of the last 28 days, by SLO.
    slos: Vec<CustomerSlo>,
    /// The open workflows among the newest.
    waiting: Vec<FoundView>,
    /// Newest first, at most 50.
    workflows: Vec<FoundView>,
    /// The URL of the next page.
    next: Option<String>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct CustomerSlo {
    slo: Name,
    total: i64,
    bad: i64,
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    address: Result<Path<String>, PathRejection>,
) -> Response {
    let view = match address {
        Ok(Path(customer)) => view(&state, &customer).await,
        Err(error) => Err(WebError::Unreadable(error.body_text())),
    };
    asked.reply(&state, view, |view| CustomerPage::new(&state, view))
}

pub(crate) async fn get_by_name(
    asked: Negotiation,
    state: WebState,
    Params(query): Params<CustomerQuery>,
) -> Response {
    let view = view(&state, &query.name).await;
    asked.reply(&state, view, |view| CustomerPage::new(&state, view))
}

async fn view(state: &WebState, customer: &str) -> Result<CustomerPageView, WebError> {
    state.check_customers()?;
    let now = state.clock.now();
    let mut tx = state.reads().begin("read a customer").await?;
    let newest = WorkflowsQuery::of_customer(customer);
    let open = WorkflowsQuery {
        outcome: "open".to_owned(),
        ..newest.clone()
    };
    let found = workflows::find(&mut tx, state, &newest.read(now)?).await?;
    let waiting = workflows::find(&mut tx, state, &open.read(now)?).await?;
    let mut records = tx.slos().await?;
    records.retain(|record| state.sees(&record.name) && state.names_customers(&record.name));
    let ids: Vec<SloId> = records.iter().map(|record| record.id).collect();
    let from = now - DAYS * Resolution::Day.length();
    let tallies = tx.customer_tallies(&ids, customer, from).await?;
    let of_slo = |tally: &CustomerTally| {
        let record = records.iter().find(|record| record.id == tally.slo)?;
        Some(CustomerSlo {
            slo: record.name.clone(),
            total: tally.events,
            bad: tally.bad,
        })
    };
    Ok(CustomerPageView {
        as_of: now,
        slos: tallies.iter().filter_map(of_slo).collect(),
        waiting: waiting.workflows,
        next: found
            .next
            .map(|after| format!("/workflows?{}", newest.after(&after))),
        workflows: found.workflows,
        customer: customer.to_owned(),
    })
}

impl CustomerSlo {
    fn total_text(&self) -> String {
        format::count(self.total)
    }

    fn bad_text(&self) -> String {
        format::count(self.bad)
    }
}

#[derive(Template)]
#[template(path = "customer.html", config = "src/web/askama.toml")]
struct CustomerPage {
    layout: Layout,
    view: CustomerPageView,
}

impl CustomerPage {
    fn new(state: &WebState, view: CustomerPageView) -> Self {
        let title = format!("{} · Throughline", view.customer);
        let mut layout = Layout::new(state, Section::Workflows, title);
        layout.json = Some(format!("/api/v1{}", addresses::customer(&view.customer)));
        Self { layout, view }
    }
}

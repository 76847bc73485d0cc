//! `/workflows`: searches workflows by name, trace, message or customer, and lists them by outcome,
//! stage, time and duration.

mod csv;
mod find;
mod query;

use askama::Template;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::slo::WorkflowView;
use crate::{
    domain::{
        model::{format, ids::Name, time::Timestamp},
        workflow::Outcome,
    },
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        query::Params,
        state::WebState,
    },
};
pub(in crate::web::pages) use find::find;
pub(in crate::web) use query::ListedOutcome;
pub(crate) use query::WorkflowsQuery;

/// A lag of the search index up to this is not shown.
const USUAL_LAG_SECONDS: f64 = 10.0;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct WorkflowsView {
    as_of: Timestamp,
    /// The lag of the search index behind the recorded workflows.
    search_lag_seconds: f64,
    /// Where people reach these pages, as `--public-url` has it.
    public_url: Option<String>,
    workflows: Vec<FoundView>,
    /// The value of `after` for the next page. It may be set although fewer workflows were found
    /// than requested, if not all candidates could be examined.
    next: Option<String>,
}

/// One workflow of the list.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web::pages) struct FoundView {
    pub(in crate::web::pages) slo: Name,
    #[serde(flatten)]
    pub(in crate::web::pages) workflow: WorkflowView,
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(query): Params<WorkflowsQuery>,
) -> Response {
    let view = view(&state, &query).await;
    let next = view.as_ref().ok().and_then(|view| view.next.clone());
    let next = next.map(|after| format!("/api/v1/workflows?{}", query.after(&after)));
    let answer = if query.is_csv() || asked.wants_csv() {
        asked.csv(&state, view.map(|view| csv::lines(&view.workflows)))
    } else {
        asked.reply(&state, view, |view| WorkflowsPage::new(&state, query, view))
    };
    link_next(answer, next.as_deref())
}

async fn view(state: &WebState, query: &WorkflowsQuery) -> Result<WorkflowsView, WebError> {
    let search = query.read(state.clock.now())?;
    if search.customer.is_some() {
        state.check_customers()?;
    }
    let mut tx = state.reads().begin("search for workflows").await?;
    let found = find(&mut tx, state, &search).await?;
    let lag = tx.search_lag(state.clock.now()).await?;
    Ok(WorkflowsView {
        as_of: state.clock.now(),
        search_lag_seconds: lag.as_secs_f64(),
        public_url: state.writes.public_url.clone(),
        workflows: found.workflows,
        next: found.next,
    })
}

#[derive(Template)]
#[template(path = "workflows.html", config = "src/web/askama.toml")]
struct WorkflowsPage {
    layout: Layout,
    query: WorkflowsQuery,
    slos: Vec<Name>,
    view: WorkflowsView,
}

impl WorkflowsPage {
    fn new(state: &WebState, query: WorkflowsQuery, view: WorkflowsView) -> Self {
        let mut layout = Layout::new(state, Section::Workflows, "Workflows · Throughline").still();
        layout.json = Some(format!("/api/v1/workflows?{}", query.text()));
        layout.search.clone_from(&query.q);
        let catalog = state.catalog.borrow();
        Self {
            layout,
            slos: catalog.slos.keys().cloned().collect(),
            query,
            view,
        }
    }

    fn lag_text(&self) -> Option<String> {
        let lag = self.view.search_lag_seconds;
        (lag > USUAL_LAG_SECONDS).then(|| {
            format!(
                "The search index is {} behind; newer workflows are missing here.",
                format::seconds(lag)
            )
        })
    }

    fn next_href(&self) -> Option<String> {
        let after = self.view.next.as_ref()?;
        Some(format!("/workflows?{}", self.query.after(after)))
    }

    fn csv_href(&self) -> String {
        format!("/api/v1/workflows?{}&format=csv", self.query.text())
    }
}

impl FoundView {
    pub(in crate::web::pages) fn word(&self) -> &'static str {
        self.workflow.outcome().in_words()
    }

    pub(in crate::web::pages) fn class(&self) -> &'static str {
        self.workflow.outcome().as_str()
    }

    pub(in crate::web::pages) fn is_open(&self) -> bool {
        self.workflow.outcome() == Outcome::Open
    }
}

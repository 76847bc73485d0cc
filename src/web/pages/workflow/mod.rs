//! `/workflows/{slo}/{key}`: the page of one workflow: its stage, its steps, and its verdict.

mod load;
mod steps;
mod view;

use askama::Template;
use axum::{
    extract::{Path, rejection::PathRejection},
    response::Response,
};

use super::slo::{declared, undeclared};
use crate::{
    domain::workflow::EventKey,
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        state::WebState,
    },
};
pub(in crate::web) use view::StoryView;

/// The maximum number of steps on the page; the JSON view has all.
const MOST_STEPS: usize = 200;

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    address: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let view = match address {
        Ok(Path((slo, key))) => view(&state, &slo, &key).await,
        Err(error) => Err(WebError::Unreadable(error.body_text())),
    };
    asked.reply(&state, view, |view| WorkflowPage::new(&state, view))
}

async fn view(state: &WebState, slo: &str, key: &str) -> Result<StoryView, WebError> {
    let Some(slo) = declared(state, slo) else {
        return Err(undeclared(state, slo).await);
    };
    let hex = key.strip_suffix(".json").unwrap_or(key);
    let missing = || WebError::NoSuchWorkflow {
        slo: slo.name.to_string(),
        key: key.to_owned(),
    };
    let key = EventKey::from_hex(hex).ok_or_else(missing)?;
    load::view(state, &slo, key).await?.ok_or_else(missing)
}

#[derive(Template)]
#[template(path = "workflow.html", config = "src/web/askama.toml")]
struct WorkflowPage {
    layout: Layout,
    view: StoryView,
}

impl WorkflowPage {
    fn new(state: &WebState, view: StoryView) -> Self {
        let title = format!(
            "{}: {} · Throughline",
            view.outcome_text(),
            view.label_text()
        );
        let mut layout = Layout::new(state, Section::Workflows, title);
        layout.json = Some(format!("/api/v1{}", view.path));
        Self { layout, view }
    }

    /// Returns how many steps the page leaves out.
    fn left_out(&self) -> usize {
        self.view.steps.len().saturating_sub(MOST_STEPS)
    }
}

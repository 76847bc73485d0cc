//! `/workflows`: one search in all installations, with a list and paging for each.

use std::cmp::Reverse;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{InstallationView, OfInstallation, OverviewState, pages_of, shown};
use crate::{
    domain::{
        model::{format, time::Timestamp},
        workflow::Outcome,
    },
    installations::{FoundWorkflow, InstallationApi, WorkflowsAnswer},
    web::{
        page::{Layout, Negotiation, Section},
        pages::{addresses::encoded, workflows::ListedOutcome},
        reader::times,
    },
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SearchQuery {
    q: String,
    outcome: String,
    customer: String,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct SearchView {
    as_of: Timestamp,
    installations: Vec<InstallationView>,
    /// The newest first.
    workflows: Vec<OfInstallation<FoundWorkflow>>,
    more: Vec<MoreWorkflows>,
}

/// The next page of an installation, if it has found more.
#[derive(Debug, Serialize)]
struct MoreWorkflows {
    installation: String,
    url: String,
}

pub(super) async fn get(
    asked: Negotiation,
    State(state): State<OverviewState>,
    Query(query): Query<SearchQuery>,
) -> Response {
    let view = view(&state, &query).await;
    shown(asked.show(view, |view| SearchPage::new(query, view)))
}

async fn view(state: &OverviewState, query: &SearchQuery) -> SearchView {
    let query = query.text();
    let path = format!("/api/v1/workflows?{query}");
    let search = |api: InstallationApi| {
        let path = path.clone();
        async move { api.get::<WorkflowsAnswer>(&path).await }
    };
    let answers = state.installations.ask(search).await;
    let installations = InstallationView::all(&answers);
    let (mut workflows, mut more) = (Vec::new(), Vec::new());
    for answer in answers {
        let Ok(found) = answer.result else { continue };
        let installation = &answer.installation.name;
        let pages = pages_of(&answer.installation, found.public_url.as_deref());
        more.extend(found.next.map(|after| MoreWorkflows {
            installation: installation.clone(),
            url: format!("{pages}/workflows?{query}&after={}", encoded(&after)),
        }));
        workflows.extend(found.workflows.into_iter().map(|one| OfInstallation {
            installation: installation.clone(),
            url: format!("{pages}/workflows/{}/{}", one.slo, encoded(&one.key)),
            of: one,
        }));
    }
    workflows.sort_by_key(|one: &OfInstallation<FoundWorkflow>| Reverse(one.of.started_at));
    SearchView {
        as_of: state.clock.now(),
        installations,
        workflows,
        more,
    }
}

impl SearchQuery {
    /// The parameters that have a value.
    fn text(&self) -> String {
        let fields = [
            ("q", &self.q),
            ("outcome", &self.outcome),
            ("customer", &self.customer),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = set.map(|(name, value)| format!("{name}={}", encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

impl OfInstallation<FoundWorkflow> {
    fn is_open(&self) -> bool {
        self.of.outcome == Outcome::Open
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn started_text(&self, now: &Timestamp) -> String {
        let started = self.of.started_at;
        started.map_or_else(|| format::NONE.to_owned(), |at| times::instant(at, *now))
    }

    fn took_text(&self) -> String {
        format::seconds(self.of.duration_seconds)
    }
}

#[derive(Template)]
#[template(path = "installations/workflows.html", config = "src/web/askama.toml")]
struct SearchPage {
    layout: Layout,
    query: SearchQuery,
    view: SearchView,
}

impl SearchPage {
    fn new(query: SearchQuery, view: SearchView) -> Self {
        let layout = Layout::of_installations(Section::Workflows, "Workflows · Throughline");
        let mut layout = layout.still();
        layout.fresh = vec![InstallationView::answered_text(&view.installations)];
        layout.json = Some(format!("/api/v1/workflows?{}", query.text()));
        layout.search.clone_from(&query.q);
        Self {
            layout,
            query,
            view,
        }
    }
}

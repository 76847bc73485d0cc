//! `/`: the SLOs of all installations, the most urgent first.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{InstallationView, OfInstallation, OverviewState, pages_of, shown};
use crate::{
    domain::model::{format, time::Timestamp},
    installations::{Division, ListedSlo},
    web::{
        page::{Layout, Negotiation, Section},
        pages::{addresses::encoded, summary::StatusBadge},
    },
};

/// The rows of a page.
const PER_PAGE: usize = 200;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SlosQuery {
    q: String,
    /// The text of a state.
    state: String,
    page: usize,
}

#[derive(Debug, Serialize)]
struct SlosView {
    as_of: Timestamp,
    installations: Vec<InstallationView>,
    /// The number of SLOs per state, of those that match the text.
    states: BTreeMap<&'static str, usize>,
    slos: Vec<OfInstallation<ListedSlo>>,
    /// `None` if a text was searched.
    division: Option<Division>,
}

pub(super) async fn get(
    asked: Negotiation,
    State(state): State<OverviewState>,
    Query(query): Query<SlosQuery>,
) -> Response {
    let view = view(&state, &query).await;
    shown(asked.show(view, |view| SlosPage::new(query, view)))
}

async fn view(state: &OverviewState, query: &SlosQuery) -> SlosView {
    let text = encoded(&query.q);
    let answers = state.installations.ask(|api| api.slos(text.clone())).await;
    let installations = InstallationView::all(&answers);
    let division = query.q.is_empty().then(|| Division::new(&answers));
    let mut slos: Vec<OfInstallation<ListedSlo>> = Vec::new();
    for answer in answers {
        let Ok(found) = answer.result else { continue };
        let pages = pages_of(&answer.installation, found.public_url.as_deref());
        slos.extend(found.slos.into_iter().map(|slo| OfInstallation {
            installation: answer.installation.name.clone(),
            url: format!("{pages}/slos/{}", slo.name),
            of: slo,
        }));
    }
    let mut states = BTreeMap::new();
    for slo in &slos {
        *states.entry(slo.face().word).or_insert(0) += 1;
    }
    let is_wanted = |word: &str| query.state.is_empty() || query.state.eq_ignore_ascii_case(word);
    slos.retain(|slo| is_wanted(slo.face().word));
    slos.sort_by_cached_key(|slo| (slo.of.urgency(), slo.of.name.clone()));
    SlosView {
        as_of: state.clock.now(),
        installations,
        states,
        slos,
        division,
    }
}

impl OfInstallation<ListedSlo> {
    fn face(&self) -> StatusBadge {
        StatusBadge::of(self.of.state)
    }

    fn objective_text(&self) -> String {
        format::objective(self.of.objective_ratio)
    }

    fn window_text(&self) -> String {
        format::window(self.of.window_seconds)
    }

    fn budget_text(&self) -> String {
        let slo = &self.of;
        format::budget_range(
            slo.budget_remaining_ratio,
            slo.budget_remaining_at_worst_ratio,
        )
    }

    fn in_flight_text(&self) -> String {
        format::count(self.of.in_flight)
    }

    fn overdue_text(&self) -> String {
        format::count(self.of.overdue)
    }

    fn labels_text(&self) -> Vec<String> {
        let labels = self.of.labels.iter();
        labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "installations/slos.html", config = "src/web/askama.toml")]
struct SlosPage {
    layout: Layout,
    query: SlosQuery,
    page: usize,
    pages: usize,
    view: SlosView,
}

impl SlosPage {
    fn new(query: SlosQuery, mut view: SlosView) -> Self {
        let urgent = view.slos.first().map(OfInstallation::face);
        let title = match urgent {
            Some(face) => format!("{} · Throughline", face.word),
            None => "Overview · Throughline".to_owned(),
        };
        let mut layout = Layout::of_installations(Section::Overview, title);
        layout.icon = urgent.map_or("ok", |face| face.favicon());
        layout.fresh = vec![InstallationView::answered_text(&view.installations)];
        layout.json = Some(format!("/api/v1/slos?{}", query.text()));
        layout.search.clone_from(&query.q);
        let pages = view.slos.len().div_ceil(PER_PAGE).max(1);
        let page = query.page.clamp(1, pages);
        view.slos.drain(..(page - 1) * PER_PAGE);
        view.slos.truncate(PER_PAGE);
        Self {
            layout,
            query,
            page,
            pages,
            view,
        }
    }

    fn in_state(&self, word: &str) -> String {
        format!("/?q={}&state={}", encoded(&self.query.q), encoded(word))
    }

    fn at_page(&self, page: usize) -> String {
        format!("/?{}&page={page}", self.query.text())
    }
}

impl SlosQuery {
    fn text(&self) -> String {
        format!("q={}&state={}", encoded(&self.q), encoded(&self.state))
    }
}

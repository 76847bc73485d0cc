//! `/slos/{slo}/durations`: how long workflows and their stages take, over time.

mod view;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use self::view::DurationsView;
use super::{Range, RangeLink, SloQuery, declared, undeclared};
use crate::{
    domain::{
        model::time::{TimeRange, Timestamp},
        slo::Slo,
    },
    store::SeriesQuery,
    web::{
        chart::Figure,
        error::WebError,
        page::{Layout, Negotiation, Section},
        query::Params,
        state::WebState,
    },
};

pub(crate) async fn get(
    asked: Negotiation,
    State(state): State<WebState>,
    Path(name): Path<String>,
    Params(params): Params<SloQuery>,
) -> Response {
    let view = view(&asked, &state, &name, &params).await;
    asked.reply(&state, view, |view| DurationsPage::new(&state, view))
}

async fn view(
    asked: &Negotiation,
    state: &WebState,
    name: &str,
    params: &SloQuery,
) -> Result<DurationsView, WebError> {
    let range = params.range(asked)?;
    let Some(slo) = declared(state, name) else {
        return Err(undeclared(state, name).await);
    };
    read(state, &slo, range).await
}

async fn read(state: &WebState, slo: &Slo, range: Range) -> Result<DurationsView, WebError> {
    let now = state.clock.now();
    let query = query(range, now);
    let mut tx = state.store.begin("read the durations of an SLO").await?;
    let rows = match (slo.staged(), tx.slo(&slo.name).await?) {
        (Some(_), Some(record)) => tx.durations(record.id, query).await?,
        _ => Vec::new(),
    };
    Ok(DurationsView::new(slo, range, (query, rows), now))
}

fn query(range: Range, now: Timestamp) -> SeriesQuery {
    let (resolution, step) = range.grain_of_durations();
    let to = now.ceil_to(step);
    SeriesQuery {
        resolution,
        range: TimeRange::new((to - range.length()).floor_to(step), to),
        step,
    }
}

#[derive(Template)]
#[template(path = "durations.html", config = "src/web/askama.toml")]
struct DurationsPage {
    layout: Layout,
    ranges: Vec<RangeLink>,
    chart: Option<Figure>,
    view: DurationsView,
}

impl DurationsPage {
    fn new(state: &WebState, view: DurationsView) -> Self {
        let title = format!("{}: durations · Throughline", view.display_name);
        let mut layout = Layout::new(state, Section::Overview, title);
        layout.json = Some(format!(
            "/api/v1/slos/{}/durations?range={}",
            view.slo,
            view.range.name()
        ));
        Self {
            layout,
            ranges: RangeLink::all(view.range),
            chart: view.chart(),
            view,
        }
    }
}

//! `/slos/{slo}/durations`: the durations of workflows and their stages over time.

mod view;

use askama::Template;
use axum::{extract::Path, response::Response};

pub(in crate::web) use self::view::DurationsView;
use super::{Range, RangeLink, SloQuery, declared_in, undeclared};
use crate::{
    domain::model::{
        ids::Name,
        time::{Resolution, TimeRange, Timestamp},
    },
    store::SeriesQuery,
    web::{
        chart::Figure,
        error::WebError,
        page::{Layout, Negotiation, Section},
        query::Params,
        reader::{AsOf, PastBanner, permalink},
        state::WebState,
    },
};

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(params): Params<SloQuery>,
) -> Response {
    match read(&asked, &state, &name, &params).await {
        Err(error) => asked.refuse(&state, &error),
        Ok((view, banner)) => asked.reply(&state, Ok(view), |view| {
            DurationsPage::new(&state, view, banner)
        }),
    }
}

async fn read(
    asked: &Negotiation,
    state: &WebState,
    name: &str,
    params: &SloQuery,
) -> Result<(DurationsView, Option<PastBanner>), WebError> {
    let range = params.range(asked)?;
    let as_of = AsOf::asked(state, &params.at)?;
    let definitions = as_of.catalog(state).await?;
    let Some(slo) = declared_in(&definitions.catalog, name) else {
        return Err(undeclared(state, name).await);
    };
    let query = query(range, as_of.at);
    let mut tx = state.reads().begin("read the durations of an SLO").await?;
    let rows = match (slo.staged(), tx.slo(&slo.name).await?) {
        (Some(_), Some(record)) => tx.durations(record.id, query).await?,
        _ => Vec::new(),
    };
    let now = state.clock.now();
    let banner = PastBanner::new(as_of, now, &definitions, path(&slo.name, range));
    let view = DurationsView::new(&slo, range, query, rows, as_of.at);
    Ok((view, banner))
}

fn path(slo: &Name, range: Range) -> String {
    format!("/slos/{slo}/durations?range={}", range.name())
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
    fn new(state: &WebState, view: DurationsView, banner: Option<PastBanner>) -> Self {
        let title = format!("{}: durations · Throughline", view.display_name);
        let mut layout = Layout::new(state, Section::Overview, title);
        let here = path(&view.slo, view.range);
        layout.json = Some(format!("/api/v1{here}"));
        layout = layout.of_moment(
            banner,
            permalink(
                &here,
                Some(view.as_of.floor_to(Resolution::Minute.length())),
            ),
        );
        let past = layout.past.as_ref().map(|_| view.as_of);
        Self {
            layout,
            ranges: RangeLink::all(view.range, past),
            chart: view.chart(),
            view,
        }
    }
}

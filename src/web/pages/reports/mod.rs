//! `/reports/{month}`: the monthly report on the SLOs of one team, or of all, as a page to print,
//! as comma-separated values and as Markdown.

mod load;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;

pub(in crate::web) use self::view::MonthReport;
pub use self::view::ReportMessage;
use crate::{
    domain::{
        model::time::{TimeRange, Timestamp},
        slo::Catalog,
    },
    store::{StoreError, Tx},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section},
        pages::addresses::encoded,
        query::{Parameters, Params},
        state::WebState,
    },
};

#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct ReportQuery {
    /// Only SLOs with this label `team`; of all teams if empty.
    #[serde(default)]
    team: String,
    /// `csv` or `markdown`.
    #[serde(default)]
    format: String,
}

impl Parameters for ReportQuery {
    const NAMES: &'static [&'static str] = &["team", "format"];
}

/// A form other than page and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReportText {
    Csv,
    Markdown,
}

impl ReportQuery {
    fn text(&self, asked: &Negotiation) -> Result<Option<ReportText>, WebError> {
        match self.format.as_str() {
            "" if asked.wants_csv() => Ok(Some(ReportText::Csv)),
            "" => Ok(None),
            "csv" => Ok(Some(ReportText::Csv)),
            "markdown" => Ok(Some(ReportText::Markdown)),
            _ => Err(WebError::Unreadable(
                "`format` is `csv` or `markdown`".to_owned(),
            )),
        }
    }
}

/// Returns the report of a month as a message; of all SLOs if no team is given.
pub async fn report_message(
    tx: &mut Tx<'_>,
    catalog: &Catalog,
    month: TimeRange,
    now: Timestamp,
    team: Option<&str>,
) -> Result<ReportMessage, StoreError> {
    let team = team.unwrap_or_default();
    let report = load::view(tx, catalog, month, now, team).await?;
    Ok(report.message())
}

/// Redirects to the current month.
pub(in crate::web) async fn newest(state: WebState) -> Response {
    let month = month_name(state.clock.now());
    Redirect::to(&format!("/reports/{month}")).into_response()
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(month): Path<String>,
    Params(query): Params<ReportQuery>,
) -> Response {
    let read = async {
        let text = query.text(&asked)?;
        let period = period(&month)?;
        let now = state.clock.now();
        let catalog = Arc::clone(&state.catalog.borrow());
        let mut tx = state.reads().begin("read the report of a month").await?;
        let view = load::view(&mut tx, &catalog, period, now, &query.team).await?;
        Ok((view, text))
    };
    match read.await {
        Ok((view, None)) => asked.reply(&state, Ok(view), |view| ReportPage::new(&state, view)),
        Ok((view, Some(ReportText::Csv))) => asked.csv(&state, Ok(view.csv())),
        Ok((view, Some(ReportText::Markdown))) => {
            let mut answer = asked.csv(&state, Ok(view.markdown()));
            let kind = HeaderValue::from_static("text/markdown; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

/// The month of `at` in UTC, as addresses of reports have it: `2026-11`.
pub(in crate::web::pages) fn month_name(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m").to_string()
}

fn period(month: &str) -> Result<TimeRange, WebError> {
    let first = Timestamp::parse_rfc3339(&format!("{month}-01T00:00:00Z"));
    let first = first.filter(|_| month.len() == "2026-11".len());
    first
        .and_then(load::month_of)
        .ok_or_else(|| WebError::Unreadable(format!("`{month}` is no month such as `2026-11`")))
}

#[derive(Template)]
#[template(path = "report.html", config = "src/web/askama.toml")]
struct ReportPage {
    layout: Layout,
    view: MonthReport,
}

impl ReportPage {
    fn new(state: &WebState, view: MonthReport) -> Self {
        let title = format!("{} · Throughline", view.title());
        let mut layout = Layout::new(state, Section::Overview, title).still();
        layout.json = Some(view.api_path(""));
        Self { layout, view }
    }
}

impl MonthReport {
    /// Returns the URL of this report in the API, in another form if `format` names one.
    fn api_path(&self, format: &str) -> String {
        let team = self.team.as_deref().unwrap_or_default();
        let query = match (team, format) {
            ("", "") => String::new(),
            ("", format) => format!("?format={format}"),
            (team, "") => format!("?team={}", encoded(team)),
            (team, format) => format!("?team={}&format={format}", encoded(team)),
        };
        format!("/api/v1/reports/{}{query}", self.month)
    }

    fn is_of(&self, team: &str) -> bool {
        self.team.as_deref() == Some(team)
    }

    fn team_href(&self, team: &str) -> String {
        format!("/reports/{}?team={}", self.month, encoded(team))
    }

    fn href(&self) -> String {
        match &self.team {
            Some(team) => self.team_href(team),
            None => format!("/reports/{}", self.month),
        }
    }
}

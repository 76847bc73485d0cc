//! `/slos/{slo}/history`: the counts of each day, week or month compared with the objective of that
//! time, and its incidents.

mod load;
mod view;

use askama::Template;
use axum::{extract::Path, response::Response};
use serde::Deserialize;

pub(in crate::web) use self::view::HistoryView;
pub(in crate::web::pages) use self::{
    load::{EarlierDefinitions, incidents as incidents_of},
    view::{IncidentCost, PeriodRow},
};
use super::{declared, undeclared};
use crate::{
    domain::model::{time::Timestamp, window::CalendarUnit},
    web::{
        error::WebError,
        page::{Layout, Negotiation, Section, link_next},
        query::{Parameters, Params},
        state::WebState,
    },
};

/// The units of a history.
const UNITS: [CalendarUnit; 3] = [CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month];
const MOST_PERIODS: usize = 31;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct HistoryQuery {
    /// `day`, `week` or `month`.
    #[serde(default)]
    by: String,
    /// Only periods that begin before this time.
    before: Option<Timestamp>,
    /// `csv`.
    #[serde(default)]
    format: String,
}

impl Parameters for HistoryQuery {
    const NAMES: &'static [&'static str] = &["by", "before", "format"];
}

impl HistoryQuery {
    /// Returns the unit: days by default, and on a page also for an unknown unit.
    fn unit(&self, asked: &Negotiation) -> Result<CalendarUnit, WebError> {
        let named = UNITS.into_iter().find(|unit| unit.as_str() == self.by);
        let is_lenient = asked.wants_page() || self.by.is_empty();
        let unit = named.or(is_lenient.then_some(CalendarUnit::Day));
        unit.ok_or_else(|| WebError::Unreadable("`by` is `day`, `week` or `month`".to_owned()))
    }

    fn is_csv(&self) -> Result<bool, WebError> {
        match self.format.as_str() {
            "" => Ok(false),
            "csv" => Ok(true),
            _ => Err(WebError::Unreadable("`format` is `csv`".to_owned())),
        }
    }
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(query): Params<HistoryQuery>,
) -> Response {
    let read = async {
        let (unit, is_csv) = (query.unit(&asked)?, query.is_csv()?);
        let Some(slo) = declared(&state, &name) else {
            return Err(undeclared(&state, &name).await);
        };
        let view = load::view(&state, &slo, unit, query.before).await?;
        Ok((view, is_csv || asked.wants_csv()))
    };
    let (view, is_csv) = match read.await {
        Ok(read) => read,
        Err(error) => return asked.refuse(&state, &error),
    };
    let next = view.next_query();
    let next = next.map(|query| format!("/api/v1/slos/{}/history?{query}", view.slo));
    let answer = if is_csv {
        asked.csv(&state, Ok(view.csv()))
    } else {
        asked.reply(&state, Ok(view), |view| HistoryPage::new(&state, view))
    };
    link_next(answer, next.as_deref())
}

#[derive(Template)]
#[template(path = "history.html", config = "src/web/askama.toml")]
struct HistoryPage {
    layout: Layout,
    units: [CalendarUnit; 3],
    view: HistoryView,
}

impl HistoryPage {
    fn new(state: &WebState, view: HistoryView) -> Self {
        let title = format!("{}: history · Throughline", view.display_name);
        let mut layout = Layout::new(state, Section::Overview, title).still();
        layout.json = Some(format!(
            "/api/v1/slos/{}/history?by={}",
            view.slo,
            view.by()
        ));
        Self {
            layout,
            units: UNITS,
            view,
        }
    }
}

//! `/slos/{slo}`: the page of an SLO. Groups have the same page at `/slos/{slo}/groups/{group}`.

mod charts;
mod common;
mod correlation;
pub(in crate::web) mod durations;
mod evidence;
pub(in crate::web) mod groups;
pub(in crate::web) mod history;
mod load;
mod parts;
mod rules;
mod sampling;
mod stages;
mod view;
mod workflow_row;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{extract::Path, response::Response};
use serde::Deserialize;

pub(in crate::web::pages) use self::history::{
    EarlierDefinitions, IncidentCost, PeriodRow, incidents_of,
};
pub(in crate::web) use self::{
    durations::DurationsView,
    groups::GroupListView,
    history::{HistoryQuery, HistoryView},
    view::SloView,
};
pub(in crate::web::pages) use self::{
    evidence::explanation,
    stages::{OwnStages, of_workflows},
    workflow_row::WorkflowView,
};
use super::{
    overview::freshness_of,
    period::PeriodView,
    sentence::{self, Sentence},
    summary::StatusBadge,
};
use crate::{
    domain::{
        alerting::status::SloState,
        model::{
            format,
            ids::{Name, SloId},
            text,
            time::Timestamp,
        },
        slo::{Catalog, Slo},
    },
    store::StoreError,
    web::{
        chart::Figure,
        error::{WebError, most_like},
        page::{Layout, Negotiation, Section},
        query::{Parameters, Params},
        reader::times,
        reader::{AsOf, PastBanner, permalink},
        state::WebState,
    },
};
use charts::SloCharts;
use parts::SloCard;
use rules::RuleRow;
use view::Range;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct SloQuery {
    #[serde(default)]
    range: String,
    /// The time to show, with the data of that time; now if empty.
    #[serde(default)]
    at: String,
}

impl Parameters for SloQuery {
    const NAMES: &'static [&'static str] = &["range", "at"];
}

impl SloQuery {
    /// Returns the range: six hours by default, and on a page also for an unknown name, so that
    /// truncated links still work.
    fn range(&self, asked: &Negotiation) -> Result<Range, WebError> {
        let is_lenient = asked.wants_page() || self.range.is_empty();
        let range = Range::named(&self.range).or(is_lenient.then_some(Range::SixHours));
        range.ok_or_else(|| {
            let known = Range::ALL.map(Range::name).join("`, `");
            let range = text::plain(&self.range, 40);
            WebError::Unreadable(format!("`range` is `{range}`, which is none of `{known}`"))
        })
    }
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Params(params): Params<SloQuery>,
) -> Response {
    let name = name.strip_suffix(".json").unwrap_or(&name);
    answer(&asked, &state, name, PageSubject::Slo, &params).await
}

pub(crate) async fn get_group(
    asked: Negotiation,
    state: WebState,
    Path((name, group)): Path<(String, String)>,
    Params(params): Params<SloQuery>,
) -> Response {
    let group = group.strip_suffix(".json").unwrap_or(&group);
    let Ok(id) = group.parse() else {
        let group = group.to_owned();
        return asked.refuse(&state, &WebError::NoSuchGroup { slo: name, group });
    };
    let of = PageSubject::Group(SloId(id));
    answer(&asked, &state, &name, of, &params).await
}

/// The SLO or group of a page.
#[derive(Clone, Copy, Debug)]
enum PageSubject {
    Slo,
    Group(SloId),
}

async fn answer(
    asked: &Negotiation,
    state: &WebState,
    name: &str,
    of: PageSubject,
    params: &SloQuery,
) -> Response {
    match read(asked, state, name, of, params).await {
        Err(error) => asked.refuse(state, &error),
        Ok(read) => asked.reply(state, Ok(read.view), |view| {
            SloPage::new(state, &read.slo, view, read.banner)
        }),
    }
}

/// The data of a page.
struct SloReading {
    slo: Arc<Slo>,
    view: SloView,
    banner: Option<PastBanner>,
}

async fn read(
    asked: &Negotiation,
    state: &WebState,
    name: &str,
    of: PageSubject,
    params: &SloQuery,
) -> Result<SloReading, WebError> {
    let range = params.range(asked)?;
    let as_of = AsOf::asked(state, &params.at)?;
    let definitions = as_of.catalog(state).await?;
    let Some(slo) = declared_in(&definitions.catalog, name) else {
        return Err(undeclared(state, name).await);
    };
    let view = load::view(state, &slo, of, range, as_of).await?;
    let banner = PastBanner::new(as_of, state.clock.now(), &definitions, view.address());
    let banner = banner.map(|of| of.with_evaluation(view.summary.evaluated_at, view.state_now));
    Ok(SloReading { slo, view, banner })
}

pub(in crate::web) fn declared(state: &WebState, name: &str) -> Option<Arc<Slo>> {
    declared_in(&state.catalog.borrow(), name)
}

fn declared_in(catalog: &Catalog, name: &str) -> Option<Arc<Slo>> {
    catalog.slos.get(&name.parse().ok()?).cloned()
}

/// Distinguishes an SLO of definition was removed from one that never existed.
pub(in crate::web::pages) async fn undeclared(state: &WebState, name: &str) -> WebError {
    match is_known(state, name).await {
        Err(error) => error.into(),
        Ok(true) => WebError::RemovedSlo {
            name: name.to_owned(),
        },
        Ok(false) => unknown(state, name),
    }
}

pub(in crate::web) fn unknown(state: &WebState, name: &str) -> WebError {
    WebError::NoSuchSlo {
        name: name.to_owned(),
        did_you_mean: most_like(name, state.catalog.borrow().slos.keys().map(Name::as_str)),
    }
}

async fn is_known(state: &WebState, name: &str) -> Result<bool, StoreError> {
    let Ok(name) = name.parse() else {
        return Ok(false);
    };
    let mut tx = state.reads().begin("find a removed SLO").await?;
    Ok(tx.slo(&name).await?.is_some())
}

#[derive(Template)]
#[template(path = "slo.html", config = "src/web/askama.toml")]
struct SloPage {
    layout: Layout,
    face: StatusBadge,
    sentence: Sentence,
    ranges: Vec<RangeLink>,
    rules: Vec<RuleRow>,
    has_limits: bool,
    parts: [SloCard; 12],
    charts: SloCharts,
    definition: Definition,
    view: SloView,
}

struct RangeLink {
    href: String,
    text: &'static str,
    current: bool,
}

impl RangeLink {
    /// Returns the links of a page; they keep `as_of` if it is an earlier time.
    fn all(current: Range, as_of: Option<Timestamp>) -> Vec<Self> {
        let at = as_of.map_or_else(String::new, |at| format!("&at={at}"));
        let link = |range: Range| Self {
            href: format!("?range={}{at}", range.name()),
            text: range.text(),
            current: range == current,
        };
        Range::ALL.map(link).into()
    }
}

struct Definition {
    place: String,
    text: String,
    annotations: BTreeMap<String, String>,
    runbook: Option<String>,
}

impl SloPage {
    fn new(state: &WebState, slo: &Slo, view: SloView, banner: Option<PastBanner>) -> Self {
        let face = view.summary.face();
        let word = match view.summary.state {
            Some(SloState::Paging | SloState::Ticket) => face.word.to_uppercase(),
            _ => face.word.to_owned(),
        };
        let group = view.group.as_ref();
        let place = group.map_or_else(String::new, |group| format!("{}: ", group.text));
        let title = format!(
            "{place}{} · {word} · Throughline",
            view.summary.display_name
        );
        let mut layout = Layout::new(state, Section::Overview, title);
        layout.icon = face.favicon();
        let here = view.address();
        let at = view.is_past.then(|| format!("&at={}", view.as_of));
        layout.json = Some(format!("/api/v1{here}{}", at.unwrap_or_default()));
        layout = layout.of_moment(banner, permalink(&here, view.summary.evaluated_at));
        layout.fresh = freshness_of(view.summary.evaluated_at, view.as_of);
        layout.fresh.push(format!(
            "late spans are waited for {}",
            format::duration(slo.grace)
        ));
        Self {
            layout,
            face,
            sentence: sentence::verdict(&view.summary, view.as_of),
            ranges: RangeLink::all(view.range, view.is_past.then_some(view.as_of)),
            rules: rules::rows(&view.summary),
            has_limits: !view.summary.threshold_rules.is_empty(),
            parts: SloCard::in_order(view.summary.state),
            charts: SloCharts::draw(slo, &view),
            definition: Definition {
                place: format!("{}:{}", slo.source.file, slo.source.line),
                text: slo.source.text.trim_end().to_owned(),
                annotations: slo.annotations.clone(),
                runbook: slo
                    .runbook
                    .clone()
                    .filter(|link| link.starts_with("https://") || link.starts_with("http://")),
            },
            view,
        }
    }

    fn budget_how(&self) -> String {
        let slo = &self.view.summary;
        slo.period.as_ref().map_or_else(
            || {
                let window = slo.window_text();
                format!(
                    "Rolling window of {window}, regardless of the range above. The line also rises, because a bad day stops counting {window} later."
                )
            },
            PeriodView::how,
        )
    }

    fn budget_reading(&self) -> String {
        if self.view.summary.evaluated_counts.total == 0 {
            return "no event yet".to_owned();
        }
        format!(
            "{} of {} bad events used",
            format::count(self.view.summary.budget_used_events()),
            format::count(self.view.summary.budget_events)
        )
    }

    fn events_note(&self) -> String {
        let counts = self.view.summary.evaluated_counts;
        format!(
            "{}, {} bad",
            format::counted(counts.total, "event"),
            format::count(counts.bad)
        )
    }

    fn allowance(&self) -> String {
        match self.view.summary.budget_remaining_events {
            _ if self.view.summary.evaluated_counts.total == 0 => {
                "no event has spent any".to_owned()
            }
            left if left >= 0 => format!("{} more may be bad", format::count(left)),
            over => format!("{} too many were bad", format::count(-over)),
        }
    }

    fn page_factor(&self) -> String {
        self.view
            .summary
            .leading_rule()
            .map_or_else(String::new, |rule| {
                format!(
                    "{} {} over {}",
                    rule.name,
                    rules::word(rule),
                    format::factor(rule.factor)
                )
            })
    }

    fn empty_note(&self) -> String {
        let slo = &self.view.summary;
        match slo.budget_empty_at {
            _ if slo.is_spent() => "nothing is left of the budget".to_owned(),
            Some(at) => format!(
                "{}, at this rate",
                times::moment_in_words(at, self.view.as_of)
            ),
            None if slo.pace.burn_rate.is_some() => slo.period.as_ref().map_or_else(
                || "no end in sight at this rate".to_owned(),
                |period| format!("it lasts until it is reset {}", period.restart()),
            ),
            None => format!("no event in {}", slo.pace.lately()),
        }
    }

    fn objective_terms(&self) -> String {
        let slo = &self.view.summary;
        let within = slo.within_seconds.map_or_else(
            || "good".to_owned(),
            |secs| format!("within {}", format::seconds(secs)),
        );
        format!("{within}, over {}", slo.whole_text())
    }
}

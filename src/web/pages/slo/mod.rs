//! `/slos/{slo}`: how bad, since when, until when, why, and who? The same page is that of one of its
//! groups, at `/slos/{slo}/groups/{group}`.

mod budget;
mod charts;
mod common;
mod correlation;
pub(in crate::web) mod durations;
mod evidence;
pub(in crate::web) mod groups;
mod load;
mod parts;
mod sampling;
mod stages;
mod view;
mod workflow_row;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Deserialize;

pub(in crate::web::pages) use self::{
    evidence::explanation,
    stages::{OwnStages, of_workflows},
    workflow_row::WorkflowView,
};
use super::{
    overview::freshness_of,
    period::PeriodView,
    sentence::{self, Sentence},
    summary::{StatusBadge, Summary, limit_track, rule_track},
};
use crate::{
    domain::{
        alerting::{
            limit::{LimitState, LimitStatus},
            rule_status::{BurnCondition, RuleStatus},
            status::SloState,
        },
        model::{
            format,
            ids::{Name, SloId},
            text,
        },
        slo::{Severity, Slo},
    },
    store::StoreError,
    web::{
        chart::{Figure, Markup},
        error::{WebError, most_like},
        page::{Layout, Negotiation, Section},
        query::{Parameters, Params},
        state::WebState,
    },
};
use charts::SloCharts;
use parts::SloCard;
use view::{Range, SloView};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct SloQuery {
    #[serde(default)]
    range: String,
}

impl Parameters for SloQuery {
    const NAMES: &'static [&'static str] = &["range"];
}

impl SloQuery {
    /// Six hours if none is named, and on a page also if there is none of this name: a link that was
    /// cut still opens.
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
    State(state): State<WebState>,
    Path(name): Path<String>,
    Params(params): Params<SloQuery>,
) -> Response {
    let name = name.strip_suffix(".json").unwrap_or(&name);
    answer(&asked, &state, (name, Whose::Slo), &params).await
}

pub(crate) async fn get_group(
    asked: Negotiation,
    State(state): State<WebState>,
    Path((name, group)): Path<(String, String)>,
    Params(params): Params<SloQuery>,
) -> Response {
    let group = group.strip_suffix(".json").unwrap_or(&group);
    let Ok(id) = group.parse() else {
        let group = group.to_owned();
        return asked.refuse(&state, &WebError::NoSuchGroup { slo: name, group });
    };
    let whose = Whose::Group(SloId(id));
    answer(&asked, &state, (&name, whose), &params).await
}

/// Whose numbers a page shows.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Slo,
    Group(SloId),
}

async fn answer(
    asked: &Negotiation,
    state: &WebState,
    (name, whose): (&str, Whose),
    params: &SloQuery,
) -> Response {
    let range = match params.range(asked) {
        Ok(range) => range,
        Err(error) => return asked.refuse(state, &error),
    };
    match declared(state, name) {
        None => asked.refuse(state, &undeclared(state, name).await),
        Some(slo) => {
            let view = load::view(state, (&slo, whose), range).await;
            asked.reply(state, view, |view| SloPage::new(state, &slo, view))
        }
    }
}

pub(in crate::web::pages) fn declared(state: &WebState, name: &str) -> Option<Arc<Slo>> {
    let name = name.parse().ok()?;
    state.catalog.borrow().slos.get(&name).cloned()
}

/// An SLO whose definition was removed is told apart from one that never was.
pub(in crate::web::pages) async fn undeclared(state: &WebState, name: &str) -> WebError {
    match is_known(state, name).await {
        Err(error) => error.into(),
        Ok(true) => WebError::RemovedSlo {
            name: name.to_owned(),
        },
        Ok(false) => WebError::NoSuchSlo {
            name: name.to_owned(),
            did_you_mean: most_like(name, state.catalog.borrow().slos.keys().map(Name::as_str)),
        },
    }
}

async fn is_known(state: &WebState, name: &str) -> Result<bool, StoreError> {
    let Ok(name) = name.parse() else {
        return Ok(false);
    };
    let mut tx = state.store.begin("look for a removed SLO").await?;
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
    name: &'static str,
    text: &'static str,
    current: bool,
}

impl RangeLink {
    fn all(current: Range) -> Vec<Self> {
        let link = |range: Range| Self {
            name: range.name(),
            text: range.text(),
            current: range == current,
        };
        Range::ALL.map(link).into()
    }
}

struct RuleRow {
    title: String,
    name: String,
    threshold: String,
    track: Markup,
    long: String,
    short: String,
    face: StatusBadge,
    class: &'static str,
}

struct Definition {
    place: String,
    text: String,
    runbook: Option<String>,
}

impl SloPage {
    fn new(state: &WebState, slo: &Slo, view: SloView) -> Self {
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
        let path = group.map_or_else(String::new, |group| format!("/groups/{}", group.id));
        layout.json = Some(format!(
            "/api/v1/slos/{}{path}?range={}",
            slo.name,
            view.range.name()
        ));
        layout.fresh = freshness_of(view.summary.evaluated_at, view.as_of);
        layout.fresh.push(format!(
            "late spans are waited for {}",
            format::duration(slo.grace)
        ));
        Self {
            layout,
            face,
            sentence: sentence::verdict(&view.summary, view.as_of),
            ranges: RangeLink::all(view.range),
            rules: rule_rows(&view.summary),
            has_limits: !view.summary.threshold_rules.is_empty(),
            parts: SloCard::in_order(view.summary.state),
            charts: SloCharts::draw(slo, &view),
            definition: Definition {
                place: format!("{}:{}", slo.source.file, slo.source.line),
                text: slo.source.text.trim_end().to_owned(),
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
                    "Rolling {window}, whatever the range above. The line also rises: a bad day stops \
                     counting {window} later."
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
                    word(rule),
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
                format::moment_in_words(at, self.view.as_of)
            ),
            None if slo.pace.burn_rate.is_some() => slo.period.as_ref().map_or_else(
                || "no end in sight at this rate".to_owned(),
                |period| format!("it lasts until it is whole again {}", period.restart()),
            ),
            None => format!("no event in {}", slo.pace.lately()),
        }
    }

    fn promise(&self) -> String {
        let slo = &self.view.summary;
        let within = slo.within_seconds.map_or_else(
            || "good".to_owned(),
            |secs| format!("within {}", format::seconds(secs)),
        );
        format!("{within}, over {}", slo.whole_text())
    }
}

fn word(rule: &RuleStatus) -> &'static str {
    match rule.severity {
        Severity::Page => "pages",
        Severity::Ticket => "opens a ticket",
    }
}

fn rule_rows(slo: &Summary) -> Vec<RuleRow> {
    let on_burn = slo.rules.iter().map(RuleRow::new);
    let on_limits = slo.threshold_rules.iter().map(RuleRow::on_limit);
    // Rules on data quality are shown where they have something to say.
    let is_quiet =
        |rule: &&LimitStatus| matches!(rule.standing, LimitState::Under | LimitState::Unknown);
    let on_quality = slo.quality_rules.iter().filter(|rule| !is_quiet(rule));
    on_burn
        .chain(on_limits)
        .chain(on_quality.map(RuleRow::on_limit))
        .collect()
}

impl RuleRow {
    fn on_limit(rule: &LimitStatus) -> Self {
        let (kind, hot) = match rule.severity {
            Severity::Page => ("Page", "hot"),
            Severity::Ticket => ("Ticket", "warm"),
        };
        Self {
            title: format!("{kind} {}", rule.limit.title()),
            name: rule.name.to_string(),
            threshold: rule.limit.threshold(),
            track: limit_track(rule),
            long: rule.reading(),
            short: format::NONE.to_owned(),
            face: standing_face(rule),
            class: if rule.standing == LimitState::Over {
                hot
            } else {
                ""
            },
        }
    }

    fn new(rule: &RuleStatus) -> Self {
        let face = condition_face(rule);
        let severity = StatusBadge::of_severity(rule.severity);
        let kind = if severity.icon == "page" {
            "Page"
        } else {
            "Ticket"
        };
        Self {
            title: format!(
                "{kind} {} + {}",
                format::window(rule.long.secs),
                format::window(rule.short.secs)
            ),
            name: rule.name.to_string(),
            threshold: format::factor(rule.factor),
            track: rule_track(rule),
            long: format::burn_rate(rule.long.burn_rate, rule.factor),
            short: format::burn_rate(rule.short.burn_rate, rule.factor),
            face,
            class: match rule.condition {
                BurnCondition::Burning if severity.icon == "page" => "hot",
                BurnCondition::Burning => "warm",
                _ => "",
            },
        }
    }
}

fn standing_face(rule: &LimitStatus) -> StatusBadge {
    match rule.standing {
        LimitState::Over => StatusBadge {
            word: "Over",
            ..StatusBadge::of_severity(rule.severity)
        },
        LimitState::Near => StatusBadge {
            word: "Near",
            ..StatusBadge::of(Some(SloState::Rising))
        },
        LimitState::TooFew => too_few_face(),
        LimitState::InDoubt => in_doubt_badge(),
        LimitState::Under => StatusBadge {
            word: "Quiet",
            ..StatusBadge::of(Some(SloState::Ok))
        },
        LimitState::Unknown => StatusBadge {
            word: "Unknown",
            ..StatusBadge::of(Some(SloState::NoData))
        },
    }
}

fn condition_face(rule: &RuleStatus) -> StatusBadge {
    match rule.condition {
        BurnCondition::Burning => StatusBadge {
            word: "Burning",
            ..StatusBadge::of_severity(rule.severity)
        },
        BurnCondition::Rising => StatusBadge::of(Some(SloState::Rising)),
        BurnCondition::Recovering => StatusBadge::of(Some(SloState::Recovering)),
        BurnCondition::Quiet => StatusBadge {
            word: "Quiet",
            ..StatusBadge::of(Some(SloState::Ok))
        },
        BurnCondition::TooFew => too_few_face(),
        BurnCondition::InDoubt => in_doubt_badge(),
        BurnCondition::TooYoung => StatusBadge {
            word: "Too new to tell",
            ..StatusBadge::of(Some(SloState::TooFew))
        },
        BurnCondition::NoData => StatusBadge::of(Some(SloState::NoData)),
    }
}

fn in_doubt_badge() -> StatusBadge {
    StatusBadge {
        word: "In doubt",
        ..StatusBadge::of(Some(SloState::NoData))
    }
}

fn too_few_face() -> StatusBadge {
    StatusBadge {
        word: "Too few to tell",
        ..StatusBadge::of(Some(SloState::TooFew))
    }
}

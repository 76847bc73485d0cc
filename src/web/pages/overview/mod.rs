//! `/`: the overview of all SLOs, most urgent first.

mod filter;
pub(in crate::web) mod first_run;
mod kafka;
mod page;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use self::filter::Filter;
use self::{
    filter::{Choice, Facet, PER_PAGE},
    kafka::KafkaView,
    page::OverviewPage,
};

use super::{
    history::{self, TransitionView},
    overview::first_run::FirstRunPage,
    summary::Summary,
};
use crate::{
    domain::{
        alerting::{burn_rate::budget_remaining, status::SloState},
        counting::series::SeriesPoint,
        model::{
            counts::EventCounts,
            format,
            ids::{Name, SloId},
            time::{Resolution, TimeRange, Timestamp},
        },
        slo::Catalog,
    },
    store::{GroupTally, SeriesQuery, SloRecord, StoreError, Tx},
    web::{
        error::WebError,
        page::{Negotiation, link_next},
        query::Params,
        reader::times,
        reader::{AsOf, PastBanner},
        state::{IngestFacts, WebState},
    },
};

const SPARK_DAYS: u32 = 28;

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct OverviewView {
    as_of: Timestamp,
    #[serde(skip)]
    banner: Option<PastBanner>,
    evaluated_at: Option<Timestamp>,
    /// The number of SLOs per state, without the filter.
    states: BTreeMap<&'static str, usize>,
    definition_problems: Vec<String>,
    /// Where people reach these pages, as `--public-url` has it.
    public_url: Option<String>,
    /// The SLOs that `--slo-selector` leaves to other installations.
    other_slos: Vec<Name>,
    spans_received: u64,
    spans_rejected: u64,
    last_span_at: Option<Timestamp>,
    /// `None` if Kafka is not read.
    kafka: Option<KafkaView>,
    slos: Vec<Summary>,
    /// The budget at the end of each of the last days, by SLO: shares, oldest first.
    budget_remaining_by_day: BTreeMap<String, Vec<Option<f64>>>,
    /// By SLO; only those with groups.
    groups: BTreeMap<String, GroupTally>,
    #[serde(flatten)]
    part: ListPart,
    #[serde(skip)]
    facets: Vec<Facet>,
    #[serde(skip)]
    groupings: Vec<Choice>,
    /// Of the last 24 hours.
    transitions: Vec<TransitionView>,
    #[serde(skip)]
    ever_received: bool,
}

/// The part of the matching SLOs that is returned.
#[derive(Debug, Default, JsonSchema, Serialize)]
struct ListPart {
    /// Counted from 1. Only for the page.
    #[serde(skip)]
    page: usize,
    #[serde(skip)]
    pages: usize,
    /// The value of `after` for the next part. Only for the API.
    next: Option<Name>,
}

pub(crate) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(filter): Params<Filter>,
) -> Response {
    let view = view(&state, &filter, &asked).await;
    match view {
        Ok(view) if !view.ever_received => {
            let page = FirstRunPage::new(&state, view.as_of);
            asked.reply(&state, Ok(view), |_| page)
        }
        view => {
            let next = view.as_ref().ok().and_then(|view| view.part.next.as_ref());
            let next = filter.next_href(next);
            let answer = asked.reply(&state, view, |view| OverviewPage::new(&state, filter, view));
            link_next(answer, next.as_deref())
        }
    }
}

async fn view(
    state: &WebState,
    filter: &Filter,
    asked: &Negotiation,
) -> Result<OverviewView, WebError> {
    let as_of = AsOf::asked(state, &filter.at)?;
    let now = as_of.at;
    let definitions = as_of.catalog(state).await?;
    let catalog = Arc::clone(&definitions.catalog);
    let facts = state.ingest.facts();
    let mut tx = state.reads().begin("read the overview").await?;
    let mut records = tx.slos().await?;
    as_of.evaluations(&mut tx, records.iter_mut()).await?;
    let tallies = tallies(&mut tx, as_of).await?;
    let mut summaries: Vec<(Option<SloId>, Summary)> = summaries(&catalog, &records);
    let states = states(summaries.iter().map(|(_, summary)| summary));
    let all: Vec<&Summary> = summaries.iter().map(|(_, summary)| summary).collect();
    let (by_label, groupings) = (filter.facets(&all), filter.groupings(&all));
    summaries.retain(|(_, summary)| filter.matches(summary));
    let part = if asked.wants_page() {
        take_page(filter, &tallies, &mut summaries)
    } else {
        take_after(filter, &mut summaries)?
    };
    let days = days(&mut tx, &catalog, &summaries, now).await?;
    let last_day = TimeRange::ending_at(now, Resolution::Day.length());
    let transitions = history::within(state, &mut tx, None, last_day, 12).await?;
    let kafka = kafka::read(&mut tx).await?;
    let budget_remaining_by_day = budgets_by_day(&summaries, &days, now);
    let evaluated = summaries.iter();
    let evaluated_at = evaluated
        .filter_map(|(_, summary)| summary.evaluated_at)
        .max();
    let banner = PastBanner::new(as_of, state.clock.now(), &definitions, filter.of_now());
    let banner = banner.map(|of| of.with_evaluation(evaluated_at, None));
    Ok(OverviewView {
        as_of: now,
        banner,
        evaluated_at,
        states,
        definition_problems: state.definitions.borrow().problems.clone(),
        public_url: state.writes.public_url.clone(),
        other_slos: catalog.other_slos.keys().cloned().collect(),
        spans_received: facts.spans_received,
        spans_rejected: facts.spans_rejected,
        last_span_at: facts.last_span_at,
        kafka,
        groups: groups_by_name(&summaries, &tallies),
        slos: summaries.into_iter().map(|(_, summary)| summary).collect(),
        budget_remaining_by_day,
        part,
        facets: by_label,
        groupings,
        transitions,
        ever_received: ever_received(facts, &records),
    })
}

/// Returns the rows of a page, the most urgent first.
fn take_page(
    filter: &Filter,
    tallies: &Tallies,
    summaries: &mut Vec<(Option<SloId>, Summary)>,
) -> ListPart {
    filter.sort(
        summaries,
        |(_, summary)| summary,
        |(id, summary)| urgency(summary, tally(tallies, *id)),
    );
    let pages = summaries.len().div_ceil(PER_PAGE).max(1);
    let page = filter.page().min(pages);
    summaries.drain(..(page - 1) * PER_PAGE);
    summaries.truncate(PER_PAGE);
    ListPart {
        page,
        pages,
        next: None,
    }
}

/// Returns the rows of an API response, ordered by name: that order does not change while a client
/// reads one part after the other.
fn take_after(
    filter: &Filter,
    summaries: &mut Vec<(Option<SloId>, Summary)>,
) -> Result<ListPart, WebError> {
    let limit = filter.checked()?;
    summaries.retain(|(_, summary)| filter.is_after(summary));
    summaries.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let has_more = summaries.len() > limit;
    summaries.truncate(limit);
    let last = summaries.last().filter(|_| has_more);
    Ok(ListPart {
        next: last.map(|(_, summary)| summary.name.clone()),
        ..ListPart::default()
    })
}

/// Returns the counts of each day, as far back as sparklines need.
async fn days(
    tx: &mut Tx<'_>,
    catalog: &Catalog,
    summaries: &[(Option<SloId>, Summary)],
    now: Timestamp,
) -> Result<BTreeMap<SloId, Vec<SeriesPoint>>, StoreError> {
    let longest = summaries
        .iter()
        .map(|(_, slo)| slo.window_seconds)
        .max()
        .unwrap_or(0);
    let day = Resolution::Day.length();
    let from = now - SPARK_DAYS * day - Duration::from_secs(longest);
    let ids: Vec<SloId> = summaries.iter().filter_map(|(id, _)| *id).collect();
    let query = SeriesQuery {
        resolution: Resolution::Day,
        range: TimeRange::new(from.floor_to(day), now.ceil_to(day)),
        step: day,
    };
    let mut days = tx.series(&ids, query).await?;
    for (id, summary) in summaries {
        if let (Some(id), Some(slo)) = (id, catalog.slos.get(&summary.name)) {
            let corrections = tx.corrections(*id, slo, query.range, day).await?;
            days.entry(*id).or_default().extend(corrections);
        }
    }
    Ok(days)
}

type Tallies = BTreeMap<SloId, GroupTally>;

/// Returns the tallies of groups. Those of an earlier time are only on the page of their SLO.
async fn tallies(tx: &mut Tx<'_>, as_of: AsOf) -> Result<Tallies, StoreError> {
    if as_of.is_past {
        return Ok(Tallies::new());
    }
    tx.group_tallies().await
}

fn tally(tallies: &Tallies, id: Option<SloId>) -> Option<GroupTally> {
    tallies.get(&id?).copied()
}

fn groups_by_name(
    summaries: &[(Option<SloId>, Summary)],
    tallies: &Tallies,
) -> BTreeMap<String, GroupTally> {
    summaries
        .iter()
        .filter_map(|(id, slo)| Some((slo.name.to_string(), tally(tallies, *id)?)))
        .collect()
}

/// Returns the sort key: an SLO with a burning group comes before those without problems.
fn urgency(slo: &Summary, groups: Option<GroupTally>) -> (SloState, u64, i64) {
    let (state, empty_in, left) = slo.urgency();
    match groups {
        Some(GroupTally { burning: 1.., .. }) => (state.min(SloState::Rising), empty_in, left),
        _ => (state, empty_in, left),
    }
}

fn ever_received(facts: IngestFacts, records: &[SloRecord]) -> bool {
    facts.spans_received + facts.spans_rejected > 0
        || records.iter().any(|record| {
            record.first_event_at.is_some()
                || record
                    .status
                    .as_ref()
                    .is_some_and(|status| status.time_used.in_flight() > 0)
        })
}

fn summaries(catalog: &Catalog, records: &[SloRecord]) -> Vec<(Option<SloId>, Summary)> {
    let by_name: BTreeMap<_, _> = records
        .iter()
        .map(|record| (&record.name, record))
        .collect();
    let row = |slo: &Arc<_>| {
        let slo: &crate::domain::slo::Slo = slo;
        let record = by_name.get(&slo.name).copied();
        (record.map(|record| record.id), Summary::new(slo, record))
    };
    catalog.slos.values().map(row).collect()
}

fn states<'a>(summaries: impl Iterator<Item = &'a Summary>) -> BTreeMap<&'static str, usize> {
    let mut states = BTreeMap::new();
    for summary in summaries {
        *states.entry(summary.face().word).or_insert(0) += 1;
    }
    states
}

fn budgets_by_day(
    summaries: &[(Option<SloId>, Summary)],
    days: &BTreeMap<SloId, Vec<SeriesPoint>>,
    now: Timestamp,
) -> BTreeMap<String, Vec<Option<f64>>> {
    let budgets = summaries.iter().map(|(id, summary)| {
        let days = id.and_then(|id| days.get(&id));
        (summary.name.to_string(), spark_points(summary, days, now))
    });
    budgets.collect()
}

/// Returns the budget left at the end of each day; the last point is that of the evaluation.
fn spark_points(
    slo: &Summary,
    days: Option<&Vec<SeriesPoint>>,
    now: Timestamp,
) -> Vec<Option<f64>> {
    let day = Resolution::Day.length();
    let today = now.floor_to(day);
    let within = |range: TimeRange| -> EventCounts {
        let days = days.into_iter().flatten();
        let within = days.filter(|point| range.contains(point.at));
        within.map(|point| point.counts).sum()
    };
    let left_at = |end: Timestamp| match slo.window.period(end - day) {
        None => {
            let window = slo.window.length().max(day);
            budget_remaining(within(TimeRange::ending_at(end, window)), slo.objective)
        }
        Some(period) => {
            let volume = if period.contains(now) {
                slo.budget_volume()
            } else {
                within(period).weighted_total()
            };
            let bad = within(TimeRange::new(period.from, end)).weighted_bad();
            (volume > 0.0).then(|| 1.0 - bad / (volume * slo.objective.budget_ratio()))
        }
    };
    (0..SPARK_DAYS)
        .rev()
        .map(|ago| left_at(today - ago * day))
        .chain(std::iter::once(slo.budget_remaining_ratio))
        .collect()
}

pub(crate) fn freshness_of(evaluated_at: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    evaluated_at.map_or_else(
        || vec!["Not evaluated yet".to_owned()],
        |at| {
            vec![
                format!("Data to {} {}", times::clock(at), times::zone_after(at)),
                format!(
                    "evaluated {} ago",
                    format::lasting(now.saturating_since(at))
                ),
            ]
        },
    )
}

//! The reads for the page of one SLO, all in one transaction.

use std::time::Duration;

use super::{
    PageSubject,
    charts::{budget::BudgetPast, burn_history},
    common::InCommon,
    correlation::CorrelationView,
    evidence::EvidenceView,
    evidence::clocks::ClockView,
    groups::{GroupHead, GroupsView},
    sampling::SamplingNote,
    stages,
    view::{CustomerView, DefinitionView, Past, Range, ReasonPoint, SloView},
    workflow_row::WorkflowView,
};
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            burn_rate::{Ageing, BurnContext, PeriodSoFar},
            change_event::concerned,
            rule_status::RuleStatus,
            status::SloState,
        },
        counting::{customers::CustomerTotal, series::Series},
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
            window::SloWindow,
        },
        slo::Slo,
    },
    store::{
        AffectedCustomers, BadSelection, SeriesQuery, SloRecord, StoreError, Tx, WorkflowRecord,
    },
    web::{
        error::WebError,
        pages::{
            exclusions::ExclusionView,
            explain::{self, UnmatchedSelector},
            history::{self, TransitionView},
            summary::Summary,
        },
        reader::AsOf,
        state::WebState,
    },
};

const HOUR: Duration = Duration::from_hours(1);
/// The maximum number of rows of the lists.
const MOST: u32 = 8;
/// The number of bad workflows of the last hour, from the first on, that are looked at: a page takes as
/// long however many there are.
const MOST_BAD: u32 = 10_000;
const MOST_TRANSITIONS: u32 = 40;
const MOST_EVENTS: u32 = 40;
/// The id of an SLO that is not in the database yet: real ids begin at 1.
const UNKNOWN: SloId = SloId(0);

pub(super) async fn view(
    state: &WebState,
    slo: &Slo,
    of: PageSubject,
    range: Range,
    as_of: AsOf,
) -> Result<SloView, WebError> {
    let now = as_of.at;
    let mut tx = state.reads().begin("read an SLO").await?;
    let (record, group, state_now) = own_record(state, &mut tx, slo, of, as_of).await?;
    let id = record.as_ref().map_or(UNKNOWN, |record| record.id);
    let mut summary = Summary::new(slo, record.as_ref());
    let window = slo.window.counted(now);
    let first_event_at = record.as_ref().and_then(|record| record.first_event_at);
    let past = past(&mut tx, id, slo, range, now).await?;
    let last_hour = TimeRange::ending_at(now, HOUR);
    let recent = slo.counted(last_hour);
    let bad = BadSelection::of(id, &recent).first(MOST_BAD);
    let (customers, customers_total) = customers(&mut tx, bad, &summary).await?;
    let customers = state.shown(&slo.name, customers);
    let sample = tx.event_sample(id, last_hour).await?;
    let (worst, oldest) = workflows(state, &mut tx, bad, slo, as_of).await?;
    let reach = TimeRange::ending_at(now, range.length());
    let stages = stages::over(&mut tx, id, slo, reach).await?;
    let transitions = history::within(state, &mut tx, Some(id), window, MOST_TRANSITIONS).await?;
    summary.burn_rate_at_firing = rate_at_firing(&summary, &transitions);
    let sampled = sample.bad.iter().chain(&sample.good);
    let services = concerned(slo.service.as_deref(), sampled);
    let services = services.as_deref();
    let ranges = [window, slo.window.trailing(now)];
    let [counts, usual] = sums(&mut tx, id, slo, ranges).await?;
    let burn = burn_context(slo, first_event_at, &summary, usual, now);
    let quality = Quality::read(state, as_of, &mut tx, id, slo, &summary, &counts).await?;
    Ok(SloView {
        as_of: now,
        state_now,
        is_past: as_of.is_past,
        range,
        groups: worst_groups(state, &mut tx, (id, slo), group.as_ref(), as_of).await?,
        group,
        counts: counts.into(),
        evidence: quality.evidence,
        excluded: ExclusionView::all(slo, window),
        sampling: sampling_notes(&mut tx, id, &counts, &summary.rules, now).await?,
        correlation: quality.correlation,
        unmatched_selectors: quality.unmatched,
        clocks: quality.clocks,
        in_flight_oldest: oldest,
        worst_workflows: worst,
        bad_workflows_examined: tx.leaves_out_bad(bad).await?.then_some(MOST_BAD),
        stages,
        in_common: InCommon::new(state, slo, &sample),
        customers_total,
        customers: CustomerView::all(customers.worst, customers.bad),
        transitions,
        events: tx.change_events(window, services, MOST_EVENTS).await?,
        budget_history: past.budget.history(slo, &summary, now),
        burn_history: burn_history(slo, &burn, &past.range, range.length()),
        bad_by_reason: ReasonPoint::all(&past.bars),
        definition: DefinitionView::of(slo),
        ageing: ageing(&mut tx, id, slo, now).await?,
        burn,
        past,
        summary,
    })
}

async fn ageing(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    now: Timestamp,
) -> Result<Ageing, StoreError> {
    let mut ageing = tx.ageing(&[(id, slo)], slo.window.length(), now).await?;
    Ok(ageing.remove(&id).unwrap_or_default())
}

/// Returns the worst groups; `None` for a group, which has no groups.
async fn worst_groups(
    state: &WebState,
    tx: &mut Tx<'_>,
    (id, slo): (SloId, &Slo),
    group: Option<&GroupHead>,
    as_of: AsOf,
) -> Result<Option<GroupsView>, WebError> {
    match group {
        None => Ok(GroupsView::read(state, tx, (id, slo), as_of)
            .await?
            .map(GroupsView::worst)),
        Some(_) => Ok(None),
    }
}

/// Returns the record of the SLO or of one of its groups, that group, and the present state if the
/// page shows an earlier time.
async fn own_record(
    state: &WebState,
    tx: &mut Tx<'_>,
    slo: &Slo,
    of: PageSubject,
    as_of: AsOf,
) -> Result<(Option<SloRecord>, Option<GroupHead>, Option<SloState>), WebError> {
    let (mut record, group) = match of {
        PageSubject::Slo => (tx.slo(&slo.name).await?, None),
        PageSubject::Group(id) => {
            let found = tx.group(id).await?;
            let found = found.filter(|found| found.record.name == slo.name);
            let found = found.ok_or_else(|| WebError::NoSuchGroup {
                slo: slo.name.to_string(),
                group: id.0.to_string(),
            })?;
            let found = state.shown(&slo.name, found);
            let head = GroupHead::new(id, &found.group);
            (Some(found.record), Some(head))
        }
    };
    let status = record.as_ref().and_then(|record| record.status.as_ref());
    let state_now = status.map(|status| status.state).filter(|_| as_of.is_past);
    as_of.evaluations(tx, record.iter_mut()).await?;
    Ok((record, group, state_now))
}

/// Returns the burn rate at which the active alert fired.
fn rate_at_firing(summary: &Summary, newest_first: &[TransitionView]) -> Option<f64> {
    let fired_at = summary.fired_at?;
    let is_own = |one: &&TransitionView| one.kind == TransitionKind::Firing && one.at == fired_at;
    newest_first.iter().find(is_own)?.burn_rate_long
}

/// Returns the worst of some workflows and the oldest open ones, with their stages. Past lists
/// of open workflows are not stored.
async fn workflows(
    state: &WebState,
    tx: &mut Tx<'_>,
    bad: BadSelection<'_>,
    slo: &Slo,
    as_of: AsOf,
) -> Result<(Vec<WorkflowView>, Vec<WorkflowView>), StoreError> {
    let (id, now) = (bad.slo, as_of.at);
    let worst = tx.worst_workflows(bad, now, MOST).await?;
    let oldest = if as_of.is_past {
        Vec::new()
    } else {
        tx.oldest_open_workflows(id, MOST).await?
    };
    let both = worst.iter().chain(&oldest);
    let mut own = stages::of_workflows(tx, id, slo, both, now).await?;
    let mut view = |record: WorkflowRecord| {
        let stages = own.remove(&record.key).unwrap_or_default();
        let record = state.shown(&slo.name, record);
        WorkflowView::new(record, stages, &slo.name, &state.trace_viewers, now)
    };
    let oldest = oldest.into_iter().map(&mut view).collect();
    Ok((worst.into_iter().map(view).collect(), oldest))
}

/// Returns the counts of each range.
async fn sums<const N: usize>(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    ranges: [TimeRange; N],
) -> Result<[EventCounts; N], StoreError> {
    let counted = ranges.map(|range| (id, slo.counted(range)));
    let sums = tx.sums_of_sets(&counted).await?;
    let sum = |at: usize| sums.get(at).copied().unwrap_or_default();
    Ok(std::array::from_fn(sum))
}

/// Returns the customers, if the evaluation has seen any, and their total number.
async fn customers(
    tx: &mut Tx<'_>,
    bad: BadSelection<'_>,
    summary: &Summary,
) -> Result<(AffectedCustomers, CustomerTotal), StoreError> {
    if let Some(total) = summary.customers_total_last_hour
        && summary.customers_affected_last_hour > Some(0)
    {
        return Ok((tx.worst_customers(bad, MOST).await?, total));
    }
    let total = tx.customers_total(bad.slo, bad.ranges).await?;
    Ok((AffectedCustomers::default(), total))
}

/// The data quality of spans. It is counted per day or for the last hour only, so there is none for
/// an earlier time.
#[derive(Default)]
struct Quality {
    evidence: Vec<EvidenceView>,
    /// Over the window; `None` without spans.
    correlation: Option<CorrelationView>,
    unmatched: Vec<UnmatchedSelector>,
    clocks: Vec<ClockView>,
}

impl Quality {
    async fn read(
        state: &WebState,
        as_of: AsOf,
        tx: &mut Tx<'_>,
        id: SloId,
        slo: &Slo,
        summary: &Summary,
        events: &EventCounts,
    ) -> Result<Self, StoreError> {
        if as_of.is_past {
            return Ok(Self::default());
        }
        let now = as_of.at;
        let window = slo.window.counted(now);
        let counts = tx.evidence_counts(id, window.from).await?;
        let overflow = tx.customers_overflow(id, window).await?;
        let spans = tx.selected_spans(&[(id, window.from)]).await?.remove(&id);
        let waits = tx.hop_waits(now).await?.remove(&id);
        Ok(Self {
            evidence: EvidenceView::all(counts, overflow),
            correlation: spans.and_then(|spans| CorrelationView::new(&spans, events.orphan)),
            unmatched: explain::unmatched(state, slo, summary),
            clocks: ClockView::all(waits.unwrap_or_default()),
        })
    }
}

async fn sampling_notes(
    tx: &mut Tx<'_>,
    id: SloId,
    counts: &EventCounts,
    rules: &[RuleStatus],
    now: Timestamp,
) -> Result<Vec<SamplingNote>, StoreError> {
    let ends = match counts.unobservable + counts.orphan {
        0 => None,
        _ => tx.end_sampling(now).await?.remove(&id),
    };
    Ok(SamplingNote::all(counts, ends, rules))
}

/// Returns the inputs of burn rates at this time, as rules use them.
fn burn_context(
    slo: &Slo,
    first_event_at: Option<Timestamp>,
    summary: &Summary,
    usual: EventCounts,
    now: Timestamp,
) -> BurnContext {
    let window = slo.window.length();
    BurnContext {
        objective: slo.objective,
        kind: slo.alerting.burn,
        window,
        in_window: match slo.window {
            SloWindow::Rolling(_) => summary.evaluated_counts.by_outcome.as_good(),
            SloWindow::Calendar(_) => usual.as_good(),
        },
        observed: first_event_at
            .map_or(Duration::ZERO, |first| now.saturating_since(first))
            .min(window),
        period: slo.window.period(now).map(|period| PeriodSoFar {
            counts: summary.evaluated_counts.by_outcome.as_good(),
            rest: period.to.saturating_since(now),
        }),
    }
}

async fn past(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    range: Range,
    now: Timestamp,
) -> Result<Past, StoreError> {
    let (resolution, step, bar) = range.grain();
    let longest = slo
        .alerting
        .rules
        .first()
        .map_or(HOUR, |rule| rule.long)
        .max(step);
    let line = SeriesLimits {
        resolution,
        step,
        length: range.length() + longest,
    };
    let bars = SeriesLimits {
        resolution,
        step: bar,
        length: range.length(),
    };
    Ok(Past {
        budget: BudgetPast::read(tx, id, slo, now).await?,
        range: series(tx, id, slo, line, now).await?,
        bars: series(tx, id, slo, bars, now).await?,
    })
}

#[derive(Clone, Copy)]
pub(super) struct SeriesLimits {
    pub(super) resolution: Resolution,
    pub(super) step: Duration,
    pub(super) length: Duration,
}

pub(super) async fn series(
    tx: &mut Tx<'_>,
    id: SloId,
    slo: &Slo,
    reach: SeriesLimits,
    now: Timestamp,
) -> Result<Series, StoreError> {
    let to = now.ceil_to(reach.step);
    let range = TimeRange::new((to - reach.length).floor_to(reach.step), to);
    let query = SeriesQuery {
        resolution: reach.resolution,
        range,
        step: reach.step,
    };
    let points = tx.series(&[id], query).await?.remove(&id);
    let mut points = points.unwrap_or_default();
    points.extend(tx.corrections(id, slo, range, reach.step).await?);
    Ok(Series::new(range, reach.step, &points))
}

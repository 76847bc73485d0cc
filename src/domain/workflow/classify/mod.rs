//! From a span to evidence: which SLOs it concerns, in which role, and of which workflow.

mod correlate;
mod fan_out;
mod findings;
mod follow;
mod messages;
mod pieces;
#[cfg(test)]
mod pieces_tests;
pub mod started_at;
#[cfg(test)]
mod sub_stages;
mod times;

use std::{collections::BTreeMap, sync::Arc};

pub use crate::domain::workflow::{message_key, trace_key};
pub use correlate::follows_links;
pub use findings::{ClassifiedBatch, DiscardReason};
pub use follow::Linked;
pub use pieces::piece_keys;
pub use times::{InvalidTimestamp, TimeLimits};

use self::{
    correlate::{Correlation, Identity, correlate, cut, text_of},
    follow::Followed,
    pieces::PieceFinder,
};
use super::{Evidence, Fact, Judging, Losses, SpanOutcome, stage_evidence::deliver_at};
use crate::domain::{
    model::{
        group::GroupValues,
        ids::{Name, SloId},
        sampling::{EndSampling, TraceIds},
        span::{SpanStatus, SpanView},
        time::{TimeRange, Timestamp},
    },
    slo::{Catalog, GroupBy, Indicator, Slo, SpanIndicator, SpanInstant, WorkflowIndicator},
    traceql::{Selector, SelectorContext, SelectorIndex},
};

/// All selectors of a catalog, ready to be asked about spans.
#[derive(Debug)]
pub struct Classifier {
    slos: Vec<(SloId, Arc<Slo>)>,
    index: SelectorIndex<(usize, Role)>,
    followed: Vec<Followed>,
    pieces: PieceFinder,
}

/// Which selector of an SLO it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Start,
    Finish,
    Fail,
    Cancel,
    Pause,
    Event,
}

impl Classifier {
    /// `ids` holds an id for every SLO of the catalog; one without is left out.
    pub fn new(catalog: &Catalog, ids: &BTreeMap<Name, SloId>) -> Self {
        let slos: Vec<_> = catalog
            .slos
            .values()
            .filter_map(|slo| Some((*ids.get(&slo.name)?, Arc::clone(slo))))
            .collect();
        let index = SelectorIndex::build(slos.iter().enumerate().flat_map(|(at, (_, slo))| {
            selectors(&slo.indicator).map(move |(role, selector)| (selector, (at, role)))
        }));
        Self {
            followed: follow::followed(&slos),
            pieces: PieceFinder::new(&slos),
            slos,
            index,
        }
    }

    pub fn slos(&self) -> &[(SloId, Arc<Slo>)] {
        &self.slos
    }

    /// How workflows of this SLO are judged; by the defaults if it is no longer declared. `learned` is
    /// how their ends are sampled, where the definition does not say.
    pub fn judging(
        &self,
        id: SloId,
        watermark: Timestamp,
        learned: &BTreeMap<SloId, EndSampling>,
    ) -> Judging {
        let slo = self.slos.iter().find(|(known, _)| *known == id);
        let slo = slo.map(|(_, slo)| slo);
        let weighing = slo.map(|slo| &slo.weighing);
        let declared = weighing.and_then(|weighing| weighing.end_threshold);
        let ends = declared.map_or_else(
            || learned.get(&id).copied().unwrap_or_default(),
            |threshold| EndSampling {
                threshold,
                ..EndSampling::default()
            },
        );
        Judging {
            grace: slo.map_or(Slo::DEFAULT_GRACE, |slo| slo.grace),
            watermark,
            skew_tolerance: slo.map_or(Slo::LEAST_CLOCK_SKEW, |slo| slo.clock_skew),
            ends: EndSampling {
                trace_ids: weighing.map_or_else(TraceIds::default, |weighing| weighing.trace_ids),
                ..ends
            },
            losses: Losses::NoneKnown,
        }
    }

    /// Adds to `findings` what `span` says. `horizon` is the earliest event time that may still be
    /// counted.
    pub fn classify(
        &self,
        span: &dyn SpanView,
        horizon: Timestamp,
        findings: &mut ClassifiedBatch,
    ) {
        self.pieces.find(span, horizon, &mut findings.pieces);
        self.index.candidates(span, |(at, role)| {
            let Some((id, slo)) = self.slos.get(at) else {
                return;
            };
            let found = match &slo.indicator {
                Indicator::Workflow(workflow) => of_workflow(workflow, role, span, horizon),
                Indicator::Span(event) => of_event(event, span, horizon),
            };
            match found {
                None => {}
                Some(Err(why)) => findings.note(*id, why),
                Some(Ok(said)) => add(said, (*id, slo), span, findings),
            }
        });
        for followed in &self.followed {
            followed.read(span, findings);
        }
    }
}

/// What the span says becomes evidence, unless how likely it was kept forbids that.
fn add(
    (correlation, fact): (Correlation, Fact),
    (id, slo): (SloId, &Slo),
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) {
    let Some(sample) = findings.weigh(id, slo, span) else {
        return;
    };
    let group_by = slo.group_by.as_ref();
    let evidence = Evidence {
        slo: id,
        key: trace_key(span.trace_id()),
        label: span.trace_id().to_string(),
        fact,
        trace_id: span.trace_id(),
        customer: customer((id, slo), span, findings),
        sample,
        group: group_by.map_or_else(GroupValues::default, |by| group(by, span)),
    };
    findings.add(correlation, (evidence, &slo.indicator), span);
}

fn selectors(indicator: &Indicator) -> impl Iterator<Item = (Role, &Selector)> {
    let found = match indicator {
        Indicator::Workflow(workflow) => [
            Some((Role::Start, &workflow.start)),
            Some((Role::Finish, &workflow.finish)),
            workflow.fail.as_ref().map(|fail| (Role::Fail, fail)),
            workflow
                .cancel
                .as_ref()
                .map(|cancel| (Role::Cancel, cancel)),
            workflow.pause.as_ref().map(|pause| (Role::Pause, pause)),
        ],
        Indicator::Span(event) => [Some((Role::Event, &event.matches)), None, None, None, None],
    };
    found.into_iter().flatten()
}

type Found = Option<Result<(Correlation, Fact), DiscardReason>>;

fn of_workflow(
    workflow: &WorkflowIndicator,
    role: Role,
    span: &dyn SpanView,
    horizon: Timestamp,
) -> Found {
    let known_start = times::start_of(span);
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    let start = known_start.unwrap_or(end);
    let (selector, fact, counted_from) = match role {
        Role::Start => {
            let within = workflow.within;
            let at = match workflow.start_at {
                SpanInstant::Start => start,
                // A message that is meant to be delivered later does not wait until then.
                SpanInstant::End => deliver_at(span).map_or(end, |at| at.max(end)),
            };
            (&workflow.start, Fact::Started { at, within }, at + within)
        }
        Role::Finish => {
            let at = match workflow.finish_at {
                SpanInstant::Start => start,
                SpanInstant::End => end,
            };
            (&workflow.finish, Fact::Succeeded { at }, at)
        }
        Role::Fail => (workflow.fail.as_ref()?, Fact::Failed { at: end }, end),
        Role::Cancel => (workflow.cancel.as_ref()?, Fact::Cancelled { at: end }, end),
        Role::Pause => {
            let range = TimeRange::new(start, end);
            // A pause of no length changes nothing.
            let is_pause = known_start.is_none() || !range.is_empty();
            let pause = workflow.pause.as_ref().filter(|_| is_pause)?;
            (pause, Fact::Paused(range), end)
        }
        Role::Event => return None,
    };
    if !selector.matches(span, SelectorContext::default()) {
        return None;
    }
    if known_start.is_none() && needs_start(workflow, role) {
        return Some(Err(DiscardReason::NoStartTime));
    }
    if counted_from < horizon {
        return Some(Err(DiscardReason::TooLate));
    }
    Some(match correlate(&workflow.correlate, role, span) {
        Correlation::Absent => Err(DiscardReason::Uncorrelated),
        Correlation::TooLong => Err(DiscardReason::KeyTooLong),
        correlation @ (Correlation::Of { .. }
        | Correlation::Origin(_)
        | Correlation::Published { .. }
        | Correlation::Received { .. }) => {
            fan_out::of_leg(workflow.legs.as_ref(), fact, span).map(|fact| (correlation, fact))
        }
    })
}

/// Whether what a span means in `role` depends on when it started.
const fn needs_start(workflow: &WorkflowIndicator, role: Role) -> bool {
    match role {
        Role::Start => matches!(workflow.start_at, SpanInstant::Start),
        Role::Finish => matches!(workflow.finish_at, SpanInstant::Start),
        Role::Pause => true,
        Role::Fail | Role::Cancel | Role::Event => false,
    }
}

fn of_event(event: &SpanIndicator, span: &dyn SpanView, horizon: Timestamp) -> Found {
    if !event.matches.matches(span, SelectorContext::default()) {
        return None;
    }
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    if end < horizon {
        return Some(Err(DiscardReason::TooLate));
    }
    let Some(started_nanos) = started_nanos(event, span) else {
        return Some(Err(DiscardReason::NoStartTime));
    };
    let duration = i128::from(span.end_unix_nano()) - started_nanos;
    let context = SelectorContext {
        workflow_duration_ns: Some(i64::try_from(duration).unwrap_or(i64::MAX)),
    };
    let outcome = if event.good.matches(span, context) {
        SpanOutcome::Good
    } else if span.status() == SpanStatus::Error {
        SpanOutcome::Failed
    } else {
        SpanOutcome::Late
    };
    let started = Timestamp::from_micros(i64::try_from(started_nanos / 1_000).unwrap_or(i64::MAX));
    // It may be in time, but what else is known of a workflow that began so long ago is gone.
    if outcome == SpanOutcome::Good && asks_how_long(event) && started < horizon {
        return Some(Err(DiscardReason::TooLate));
    }
    Some(Ok((
        Identity::of_span(span).into(),
        Fact::Decided {
            started,
            at: end,
            outcome,
        },
    )))
}

fn asks_how_long(event: &SpanIndicator) -> bool {
    event.good.uses_duration() || event.good.uses_workflow_duration()
}

/// When the event's workflow started, in nanoseconds since 1970: where the definition says so, or with
/// the span. A span without a start ends when it starts. `None` if whether it is good depends on a
/// start that is missing.
fn started_nanos(event: &SpanIndicator, span: &dyn SpanView) -> Option<i128> {
    let has_start = times::start_of(span).is_some();
    if !has_start && event.good.uses_duration() {
        return None;
    }
    match &event.started_at {
        Some(source) => started_at::read(source, span).filter(|nanos| times::is_start(*nanos)),
        None if has_start => Some(i128::from(span.start_unix_nano())),
        None if event.good.uses_workflow_duration() => None,
        None => Some(i128::from(span.end_unix_nano())),
    }
}

fn customer(
    (id, slo): (SloId, &Slo),
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) -> Option<String> {
    let whole = text_of(slo.customer.as_ref()?, span)?;
    let length = whole.len();
    let customer = cut(whole);
    if customer.len() < length {
        findings.note(id, DiscardReason::CustomerCut);
    }
    Some(customer)
}

fn group(by: &GroupBy, span: &dyn SpanView) -> GroupValues {
    let value = |attribute| {
        let value = text_of(attribute, span).map(cut);
        (attribute.to_string(), value)
    };
    by.attributes.iter().map(value).collect()
}

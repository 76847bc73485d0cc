//! From a span to evidence: which SLOs it concerns, in which role, and of which workflow.

mod correlate;
mod pieces;
#[cfg(test)]
mod pieces_tests;
#[cfg(test)]
mod sub_stages;
mod times;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use pieces::piece_keys;
pub use times::{AbsurdTime, TimeLimits};

use self::{
    correlate::{Identity, correlate, cut, text_of},
    pieces::PieceFinder,
};
use super::{
    definition::{Catalog, Indicator, Slo, SpanEdge, SpanIndicator, WorkflowIndicator},
    names::{Name, SloId},
    selector::{Selector, SelectorContext, SelectorIndex},
    span::{SpanStatus, SpanView},
    stages::{FoundPiece, deliver_at},
    started_at,
    time::Timestamp,
    workflow::{Evidence, Fact, SpanOutcome},
};

/// All selectors of a catalog, ready to be asked about spans.
#[derive(Debug)]
pub struct Classifier {
    slos: Vec<(SloId, Arc<Slo>)>,
    index: SelectorIndex<(usize, Role)>,
    pieces: PieceFinder,
}

/// Which selector of an SLO it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Start,
    Finish,
    Fail,
    Cancel,
    Event,
}

/// What spans say, before it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub evidence: Vec<Evidence>,
    pub unusable: BTreeMap<(SloId, Unusable), i64>,
    /// Of where the time went: they change no verdict.
    pub pieces: Vec<FoundPiece>,
}

/// Why a span that an SLO selects says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// None of the correlators is present.
    Uncorrelated,
    /// It speaks of a time before the horizon: its record may be gone, so counting it could count
    /// twice.
    TooLate,
    /// `startedAt` is missing on the span or is no time.
    NoStartTime,
    /// There is no room for more spans that tell where the time goes.
    TooManyPieces,
    /// Its stage is one too many to be told apart.
    TooManyStages,
}

impl Findings {
    /// Keeps the first `room` pieces; the others are missed by whoever wanted them.
    pub fn limit_pieces(&mut self, room: usize) {
        for piece in self.pieces.drain(room.min(self.pieces.len())..) {
            for slo in piece.wanted_by.iter() {
                let missed = self.unusable.entry((*slo, Unusable::TooManyPieces));
                *missed.or_default() += 1;
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty() && self.unusable.is_empty() && self.pieces.is_empty()
    }
}

impl Unusable {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncorrelated => "uncorrelated",
            Self::TooLate => "too_late",
            Self::NoStartTime => "no_start_time",
            Self::TooManyPieces => "too_many_stage_spans",
            Self::TooManyStages => "too_many_stages",
        }
    }
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
        let pieces = PieceFinder::new(&slos);
        Self {
            slos,
            index,
            pieces,
        }
    }

    pub fn slos(&self) -> &[(SloId, Arc<Slo>)] {
        &self.slos
    }

    /// How long after a deadline evidence of this SLO is waited for; the default for one that is no
    /// longer declared.
    pub fn grace(&self, id: SloId) -> Duration {
        self.slos
            .iter()
            .find(|(known, _)| *known == id)
            .map_or(Slo::DEFAULT_GRACE, |(_, slo)| slo.grace)
    }

    /// Adds to `findings` what `span` says. `horizon` is the earliest event time that may still be
    /// counted.
    pub fn classify(&self, span: &dyn SpanView, horizon: Timestamp, findings: &mut Findings) {
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
                Some(Err(why)) => *findings.unusable.entry((*id, why)).or_default() += 1,
                Some(Ok((identity, fact))) => findings.evidence.push(Evidence {
                    slo: *id,
                    key: identity.key,
                    label: identity.label,
                    fact,
                    trace_id: span.trace_id(),
                    customer: customer(slo, span),
                }),
            }
        });
    }
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
        ],
        Indicator::Span(event) => [Some((Role::Event, &event.matches)), None, None, None],
    };
    found.into_iter().flatten()
}

type Found = Option<Result<(Identity, Fact), Unusable>>;

fn of_workflow(
    workflow: &WorkflowIndicator,
    role: Role,
    span: &dyn SpanView,
    horizon: Timestamp,
) -> Found {
    let start = Timestamp::from_unix_nanos(span.start_unix_nano());
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    let (selector, fact, counted_from) = match role {
        Role::Start => {
            let within = workflow.within;
            let at = match workflow.start_at {
                SpanEdge::Start => start,
                // A message that is meant to be delivered later does not wait until then.
                SpanEdge::End => deliver_at(span).map_or(end, |at| at.max(end)),
            };
            (&workflow.start, Fact::Started { at, within }, at + within)
        }
        Role::Finish => {
            let at = match workflow.finish_at {
                SpanEdge::Start => start,
                SpanEdge::End => end,
            };
            (&workflow.finish, Fact::Succeeded { at }, at)
        }
        Role::Fail => (workflow.fail.as_ref()?, Fact::Failed { at: end }, end),
        Role::Cancel => (workflow.cancel.as_ref()?, Fact::Cancelled { at: end }, end),
        Role::Event => return None,
    };
    if !selector.matches(span, SelectorContext::default()) {
        return None;
    }
    if counted_from < horizon {
        return Some(Err(Unusable::TooLate));
    }
    Some(
        correlate(&workflow.correlate, span)
            .ok_or(Unusable::Uncorrelated)
            .map(|id| (id, fact)),
    )
}

fn of_event(event: &SpanIndicator, span: &dyn SpanView, horizon: Timestamp) -> Found {
    if !event.matches.matches(span, SelectorContext::default()) {
        return None;
    }
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    if end < horizon {
        return Some(Err(Unusable::TooLate));
    }
    let started_nanos = match &event.started_at {
        None => i128::from(span.start_unix_nano()),
        Some(source) => match started_at::read(source, span) {
            Some(nanos) if nanos >= i128::from(horizon.as_micros()) * 1_000 => nanos,
            Some(_) | None => return Some(Err(Unusable::NoStartTime)),
        },
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
    Some(Ok((
        Identity::of_span(span),
        Fact::Decided {
            started,
            at: end,
            outcome,
        },
    )))
}

fn customer(slo: &Slo, span: &dyn SpanView) -> Option<String> {
    slo.customer
        .as_ref()
        .and_then(|attribute| text_of(attribute, span))
        .map(cut)
}

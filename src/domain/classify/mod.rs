//! From a span to evidence: which SLOs it concerns, in which role, and of which workflow.

mod correlate;
mod follow;
mod messages;
mod times;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use correlate::{message_key, trace_key};
pub use follow::Linked;
pub use times::{AbsurdTime, TimeLimits};

use self::{
    correlate::{Correlation, Identity, correlate, cut, text_of},
    follow::Followed,
};
use super::{
    batch::{BatchFact, BatchPiece},
    definition::{Catalog, Indicator, Slo, SpanIndicator, WorkflowIndicator},
    links::{Edges, SpanRef},
    names::{Name, SloId},
    selector::{Selector, SelectorContext, SelectorIndex},
    span::{SpanStatus, SpanView},
    started_at,
    time::Timestamp,
    workflow::{Evidence, Fact, SpanOutcome, Workflow},
};

/// All selectors of a catalog, ready to be asked about spans.
#[derive(Debug)]
pub struct Classifier {
    slos: Vec<(SloId, Arc<Slo>)>,
    index: SelectorIndex<(usize, Role)>,
    followed: Vec<Followed>,
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
    /// Spans that speak of a workflow; those that [`Unusable`] counts do not.
    pub correlated: BTreeMap<SloId, i64>,
    /// Of workflows that only links can tell.
    pub linked: Vec<Linked>,
    /// Of messages that share a context.
    pub batches: Vec<BatchPiece>,
    /// Where the work of each span came from, while some SLO follows links.
    pub edges: Vec<Edges>,
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
    /// What identifies the workflow is too long to be an id.
    KeyTooLong,
    /// Only the first links of the span were looked at, or the first messages of a batch started.
    TooManyLinks,
    /// The workflow began more links away than are followed.
    TooManyHops,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty()
            && self.unusable.is_empty()
            && self.linked.is_empty()
            && self.batches.is_empty()
            && self.edges.is_empty()
    }

    /// Evidence for every workflow that the span speaks of.
    fn add(&mut self, correlation: Correlation, evidence: &Evidence, span: &dyn SpanView) {
        let slo = evidence.slo;
        // A one-span event has nothing to correlate with.
        if !matches!(evidence.fact, Fact::Decided { .. }) {
            *self.correlated.entry(slo).or_default() += 1;
        }
        match correlation {
            Correlation::Of { identities, is_cut } => {
                if is_cut {
                    self.note(slo, Unusable::TooManyLinks);
                }
                self.evidence
                    .extend(identities.into_iter().map(|identity| Evidence {
                        key: identity.key,
                        label: identity.label,
                        ..evidence.clone()
                    }));
            }
            Correlation::Origin(filter) => {
                self.linked.push(Linked::new(filter, evidence, span));
            }
            Correlation::Published { messages, is_cut } => {
                if is_cut {
                    self.note(slo, Unusable::TooManyLinks);
                }
                let what = BatchFact::Published { messages };
                self.add_to_batch(what, SpanRef::of(span), evidence);
            }
            Correlation::Received { messages, is_cut } => {
                if is_cut {
                    self.note(slo, Unusable::TooManyLinks);
                }
                for ((context, message), label) in messages {
                    let of_message = Evidence {
                        label,
                        ..evidence.clone()
                    };
                    self.add_to_batch(BatchFact::Received { message }, context, &of_message);
                }
            }
            Correlation::Absent | Correlation::TooLong => {}
        }
    }

    fn add_to_batch(&mut self, what: BatchFact, context: SpanRef, evidence: &Evidence) {
        self.batches.push(BatchPiece {
            slo: evidence.slo,
            context,
            what,
            said: Workflow::from(evidence),
        });
    }

    fn note(&mut self, slo: SloId, why: Unusable) {
        *self.unusable.entry((slo, why)).or_default() += 1;
    }
}

impl Unusable {
    pub const ALL: [Self; 6] = [
        Self::Uncorrelated,
        Self::TooLate,
        Self::NoStartTime,
        Self::KeyTooLong,
        Self::TooManyLinks,
        Self::TooManyHops,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncorrelated => "uncorrelated",
            Self::TooLate => "too_late",
            Self::NoStartTime => "no_start_time",
            Self::KeyTooLong => "key_too_long",
            Self::TooManyLinks => "too_many_links",
            Self::TooManyHops => "too_many_hops",
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
        Self {
            followed: follow::followed(&slos),
            slos,
            index,
        }
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
                Some(Ok((correlation, fact))) => {
                    let evidence = Evidence {
                        slo: *id,
                        key: trace_key(span.trace_id()),
                        label: span.trace_id().to_string(),
                        fact,
                        trace_id: span.trace_id(),
                        customer: customer(slo, span),
                    };
                    findings.add(correlation, &evidence, span);
                }
            }
        });
        for followed in &self.followed {
            followed.read(span, findings);
        }
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

type Found = Option<Result<(Correlation, Fact), Unusable>>;

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
            (
                &workflow.start,
                Fact::Started { at: start, within },
                start + within,
            )
        }
        Role::Finish => (&workflow.finish, Fact::Succeeded { at: end }, end),
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
    Some(match correlate(&workflow.correlate, role, span) {
        Correlation::Absent => Err(Unusable::Uncorrelated),
        Correlation::TooLong => Err(Unusable::KeyTooLong),
        correlation @ (Correlation::Of { .. }
        | Correlation::Origin(_)
        | Correlation::Published { .. }
        | Correlation::Received { .. }) => Ok((correlation, fact)),
    })
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
        Identity::of_span(span).into(),
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

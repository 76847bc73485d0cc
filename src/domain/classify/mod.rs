//! From a span to evidence: which SLOs it concerns, in which role, and of which workflow.

mod correlate;
mod fan_out;
mod times;

use std::{collections::BTreeMap, sync::Arc};

pub use times::{AbsurdTime, TimeLimits};

use self::correlate::{Identity, correlate, cut, text_of};
use super::{
    definition::{Catalog, GroupBy, Indicator, Slo, SpanIndicator, SpanInstant, WorkflowIndicator},
    group::GroupValues,
    names::{Name, SloId},
    sampling::{EndSampling, Flaw, Sample, Weighed},
    selector::{Selector, SelectorContext, SelectorIndex},
    span::{SpanStatus, SpanView},
    started_at,
    time::{TimeRange, Timestamp},
    workflow::{Evidence, Fact, Judging, SpanOutcome},
};

/// All selectors of a catalog, ready to be asked about spans.
#[derive(Debug)]
pub struct Classifier {
    slos: Vec<(SloId, Arc<Slo>)>,
    index: SelectorIndex<(usize, Role)>,
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

/// What spans say, before it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub evidence: Vec<Evidence>,
    pub unusable: BTreeMap<(SloId, Unusable), i64>,
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
    /// `legs.by` is missing on the span of a leg.
    NoLeg,
    /// `legs.expect` is no whole number.
    NoNumber,
    /// It does not say how likely it was kept, and the definition refuses such spans.
    UnknownWeight,
    /// What it says of that is malformed or cannot be true. Used all the same, with an unknown weight,
    /// unless the definition refuses those.
    InvalidSampling,
    /// It would stand for more than a million spans. Used all the same, for a million.
    CappedWeight,
    /// A span that ends workflows had more links than its sender keeps: what they would have told is
    /// lost. Counted by link.
    LostLinks,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty() && self.unusable.is_empty()
    }

    fn refuse(&mut self, slo: SloId, why: Unusable) {
        *self.unusable.entry((slo, why)).or_default() += 1;
    }

    fn note_lost_links(&mut self, slo: SloId, span: &dyn SpanView) {
        let lost = span.dropped_links_count();
        if lost > 0 {
            *self.unusable.entry((slo, Unusable::LostLinks)).or_default() += i64::from(lost);
        }
    }

    /// Adds what the span of `evidence` says besides.
    fn add_besides(&mut self, indicator: &Indicator, evidence: &Evidence, span: &dyn SpanView) {
        let Indicator::Workflow(workflow) = indicator else {
            return;
        };
        for fact in fan_out::besides(workflow, &evidence.fact, span) {
            match fact {
                None => {}
                Some(Err(why)) => self.refuse(evidence.slo, why),
                Some(Ok(fact)) => self.evidence.push(Evidence {
                    fact,
                    ..evidence.clone()
                }),
            }
        }
    }

    /// How likely the span was kept, if it says so; `None` if it is no evidence without.
    #[expect(
        clippy::option_option,
        reason = "what counts itself and what does not count are different, and neither has a sample"
    )]
    fn weigh(&mut self, id: SloId, slo: &Slo, span: &dyn SpanView) -> Option<Option<Sample>> {
        let (sample, flaw) = match slo.weighing.weigh(span) {
            Ok(Weighed { sample, flaw }) => (Some(sample), flaw),
            Err(flaw) => (None, Some(flaw)),
        };
        if let Some(flaw) = flaw {
            self.refuse(id, flaw.into());
        }
        sample
    }
}

impl From<Flaw> for Unusable {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unknown => Self::UnknownWeight,
            Flaw::Invalid => Self::InvalidSampling,
            Flaw::Capped => Self::CappedWeight,
        }
    }
}

impl Unusable {
    pub const ALL: [Self; 9] = [
        Self::Uncorrelated,
        Self::TooLate,
        Self::NoStartTime,
        Self::NoLeg,
        Self::NoNumber,
        Self::UnknownWeight,
        Self::InvalidSampling,
        Self::CappedWeight,
        Self::LostLinks,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncorrelated => "uncorrelated",
            Self::TooLate => "too_late",
            Self::NoStartTime => "no_start_time",
            Self::NoLeg => "no_leg",
            Self::NoNumber => "no_number",
            Self::UnknownWeight => "unknown_weight",
            Self::InvalidSampling => "invalid_sampling",
            Self::CappedWeight => "capped_weight",
            Self::LostLinks => "evidence_lost",
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
        Self { slos, index }
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
        let declared = slo.and_then(|slo| slo.weighing.end_threshold);
        Judging {
            grace: slo.map_or(Slo::DEFAULT_GRACE, |slo| slo.grace),
            watermark,
            skew_tolerance: Judging::DEFAULT_SKEW_TOLERANCE,
            ends: declared.map_or_else(
                || learned.get(&id).copied().unwrap_or_default(),
                |threshold| EndSampling {
                    threshold,
                    ..EndSampling::default()
                },
            ),
        }
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
            if found.is_some() && matches!(role, Role::Finish | Role::Fail) {
                findings.note_lost_links(*id, span);
            }
            match found {
                None => {}
                Some(Err(why)) => findings.refuse(*id, why),
                Some(Ok((identity, fact))) => {
                    let Some(sample) = findings.weigh(*id, slo, span) else {
                        return;
                    };
                    let evidence = Evidence {
                        slo: *id,
                        key: identity.key,
                        label: identity.label,
                        fact,
                        trace_id: span.trace_id(),
                        customer: customer(slo, span),
                        sample,
                        group: slo
                            .group_by
                            .as_ref()
                            .map_or_else(GroupValues::default, |by| group(by, span)),
                    };
                    findings.add_besides(&slo.indicator, &evidence, span);
                    findings.evidence.push(evidence);
                }
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
            workflow.pause.as_ref().map(|pause| (Role::Pause, pause)),
        ],
        Indicator::Span(event) => [Some((Role::Event, &event.matches)), None, None, None, None],
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
            (
                &workflow.start,
                Fact::Started { at: start, within },
                start + within,
            )
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
            // A pause of no length says nothing.
            let pause = workflow.pause.as_ref().filter(|_| !range.is_empty())?;
            (pause, Fact::Paused(range), end)
        }
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
            .and_then(|id| Ok((id, fan_out::of_leg(workflow.legs.as_ref(), fact, span)?))),
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

fn group(by: &GroupBy, span: &dyn SpanView) -> GroupValues {
    let value = |attribute| {
        let value = text_of(attribute, span).map(cut);
        (attribute.to_string(), value)
    };
    by.attributes.iter().map(value).collect()
}

//! The evidence of one span for a workflow, and the join of all evidence.

pub mod attributes;
mod by_event;
mod corrections;
mod details;
mod event_key;
mod intervals;
mod legs;
mod pauses;
mod revisions;
mod shared_end;
mod starts;
mod terms;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::event_key::hash;
pub(super) use self::legs::{LegsProgress, earliest};
pub use self::{
    by_event::{EventId, EvidenceByEvent, gather, join, may_time_out},
    corrections::{Correction, CorrectionReason, Corrections},
    details::{Details, Opening},
    event_key::{EventKey, message_key, trace_key},
    intervals::Intervals,
    legs::{LegId, Legs},
    pauses::Pauses,
    shared_end::SharedEnd,
    starts::{StartRemark, StartRemarks},
    terms::JudgingTerms,
};
use crate::domain::model::{
    group::GroupValues,
    ids::{Revision, SloId, TraceId},
    sampling::{Draws, Sample, SpanRole},
    time::{TimeRange, Timestamp},
};

/// The evidence of one span for one workflow of one SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub slo: SloId,
    /// The revision of the definition whose selectors matched the span.
    pub revision: Revision,
    pub key: EventKey,
    /// The name that people read instead of the key; at most 256 bytes.
    pub label: String,
    pub fact: Fact,
    pub trace_id: TraceId,
    /// At most 256 bytes.
    pub customer: Option<String>,
    /// The sampling of the span; `None` if it counts as one.
    pub sample: Option<Sample>,
    /// Empty unless the SLO groups its events.
    pub group: GroupValues,
}

/// The fact that a span shows, with its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A start span began; the time limit is that of the active definition.
    Started {
        at: Timestamp,
        within: Duration,
    },
    /// A span shows that the work exists, at least since this time. Unlike a start it may be any of
    /// the early spans, and there may be many.
    Opened {
        at: Timestamp,
        within: Duration,
    },
    /// A finish span ended.
    Succeeded {
        at: Timestamp,
    },
    /// A terminal failure ended.
    Failed {
        at: Timestamp,
    },
    Cancelled {
        at: Timestamp,
    },
    /// The workflow waited for something that does not count towards the time limit.
    Paused(TimeRange),
    /// One leg of its fan-out succeeded.
    LegSucceeded {
        leg: LegId,
        at: Timestamp,
    },
    /// One leg failed permanently.
    LegFailed {
        leg: LegId,
        at: Timestamp,
    },
    /// It fans out into this many legs, as far as this span shows.
    ExpectsLegs(u32),
    /// A start span began under these terms.
    HasTerms(JudgingTerms),
    /// A remark on a start span.
    StartsAs(StartRemark),
    /// One span decided the event.
    Decided {
        started: Timestamp,
        at: Timestamp,
        outcome: SpanOutcome,
    },
}

impl Fact {
    /// Returns when its workflow started, if it starts one.
    pub(super) const fn start(&self) -> Option<Timestamp> {
        match self {
            Self::Started { at, .. } | Self::Opened { at, .. } => Some(*at),
            Self::Decided { started, .. } => Some(*started),
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::LegSucceeded { .. }
            | Self::LegFailed { .. }
            | Self::Paused(_)
            | Self::ExpectsLegs(_)
            | Self::HasTerms(_)
            | Self::StartsAs(_) => None,
        }
    }

    /// Returns the role of its span in the workflow; `None` for a span that the event does not
    /// need.
    pub(super) const fn span_role(&self) -> Option<SpanRole> {
        match self {
            Self::Started { .. } | Self::Opened { .. } => Some(SpanRole::Start),
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::LegSucceeded { .. }
            | Self::LegFailed { .. }
            | Self::Decided { .. } => Some(SpanRole::End),
            Self::Paused(_) | Self::ExpectsLegs(_) | Self::HasTerms(_) | Self::StartsAs(_) => None,
        }
    }
}

/// The outcome of a span by a one-span SLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    Good,
    /// Not good, although its status is not an error.
    Late,
    Failed,
}

/// All evidence of one workflow. [`Workflow::join`] is associative, commutative and idempotent: any
/// order, duplication and distribution over replicas gives the same value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// The revision of the definition that it is judged by: the one that was active when it
    /// started. While no start is known, the oldest by which a span is evidence of it.
    #[serde(default)]
    pub revision: Revision,
    /// The smallest of the labels.
    pub label: String,
    /// The earliest start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// The earliest success of the whole workflow: later evidence is a redelivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<Timestamp>,
    /// The earliest end of a terminal failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Timestamp>,
    /// The earliest end that a one-span SLI regarded as bad although it did not fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Timestamp>,
    pub trace: TraceRef,
    /// The smallest of the names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The time at which its first evidence was committed; `None` before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_evidence_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Start {
    pub at: Timestamp,
    pub deadline: Deadline,
}

/// The rule that decides between in time and late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Deadline {
    Within(Duration),
    /// The definition's `good` selector has decided.
    OneSpan,
}

/// A trace for people to examine. Ordered by preference: a start span's comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TraceRef {
    OfStart(TraceId),
    Other(TraceId),
}

impl TraceRef {
    pub const fn trace_id(self) -> TraceId {
        match self {
            Self::OfStart(trace_id) | Self::Other(trace_id) => trace_id,
        }
    }
}

impl From<&Evidence> for Workflow {
    fn from(evidence: &Evidence) -> Self {
        let mut workflow = Self {
            revision: evidence.revision,
            label: evidence.label.clone(),
            customer: evidence.customer.clone(),
            ..Self::without_evidence(evidence.trace_id)
        };
        workflow.details.group = evidence.group.clone();
        if let (Some(sample), Some(role)) = (&evidence.sample, evidence.fact.span_role()) {
            workflow.details.draws = Draws::of(role, sample);
        }
        match evidence.fact {
            Fact::Started { at, within } => {
                workflow.start = Some(Start {
                    at,
                    deadline: Deadline::Within(within),
                });
                workflow.trace = TraceRef::OfStart(evidence.trace_id);
            }
            Fact::Opened { at, within } => {
                workflow.start = Some(Start {
                    at,
                    deadline: Deadline::Within(within),
                });
                workflow.details.opened = Some(Opening { at, start: None });
            }
            Fact::Succeeded { at } => workflow.success = Some(at),
            Fact::Failed { at } => workflow.failure = Some(at),
            Fact::Cancelled { at } => workflow.cancelled = Some(at),
            Fact::Paused(range) => workflow.details.pauses = Pauses::from(range),
            Fact::LegSucceeded { leg, at } => workflow.details.legs = Legs::succeeded(leg, at),
            Fact::LegFailed { leg, at } => workflow.details.legs = Legs::failed(leg, at),
            Fact::ExpectsLegs(number) => workflow.details.legs = Legs::expecting(number),
            Fact::HasTerms(terms) => workflow.details.terms = Some(terms),
            Fact::StartsAs(remark) => workflow.details.starts.add(remark),
            Fact::Decided {
                started,
                at,
                outcome,
            } => {
                workflow.start = Some(Start {
                    at: started,
                    deadline: Deadline::OneSpan,
                });
                match outcome {
                    SpanOutcome::Good => workflow.success = Some(at),
                    SpanOutcome::Late => workflow.late = Some(at),
                    SpanOutcome::Failed => workflow.failure = Some(at),
                }
            }
        }
        workflow
    }
}

impl Workflow {
    /// Returns whether evidence of an end was joined with evidence of a start. A cancellation does
    /// not count: its selector may match other spans than those that finish.
    pub fn has_start_and_end(&self) -> bool {
        let is_workflow = |start: Start| start.deadline != Deadline::OneSpan;
        let ends = [self.success, self.failure, self.details.legs.first_end()];
        self.start.is_some_and(is_workflow) && ends.into_iter().any(|end| end.is_some())
    }

    /// Returns the start of a workflow that has finished or has ended legs; `None` of any other.
    pub fn start_of_finished(&self) -> Option<Timestamp> {
        let ends = [self.success, self.details.legs.first_end()];
        let start = self.start.filter(|_| self.has_start_and_end())?;
        ends.iter().any(Option::is_some).then_some(start.at)
    }

    /// Makes a workflow without evidence, in this trace.
    pub fn without_evidence(trace_id: TraceId) -> Self {
        Self {
            revision: Revision::default(),
            label: trace_id.to_string(),
            start: None,
            success: None,
            failure: None,
            late: None,
            cancelled: None,
            trace: TraceRef::Other(trace_id),
            customer: None,
            first_evidence_at: None,
            details: Details::default(),
        }
    }

    /// Returns the same workflow, named after `trace_id` if it is known only by an end of a batch.
    #[must_use]
    pub fn named_by_batch(self, trace_id: TraceId) -> Self {
        if self.has_evidence_of_its_own() {
            return self;
        }
        Self {
            first_evidence_at: self.first_evidence_at,
            ..Self::without_evidence(trace_id)
        }
    }

    /// Returns whether there is a fact of a span to judge, or an end assigned by a batch.
    pub fn has_evidence(&self) -> bool {
        self.has_evidence_of_its_own() || self.details.shared.and_then(SharedEnd::at).is_some()
    }

    /// Returns whether there is a fact of a span to judge.
    pub fn has_evidence_of_its_own(&self) -> bool {
        let ends = [self.success, self.failure, self.late, self.cancelled];
        self.start.is_some()
            || ends.iter().any(Option::is_some)
            || !self.details.legs.is_empty()
            || !self.details.pauses.is_empty()
    }

    /// Adds the evidence of `other`.
    pub fn join(&mut self, other: &Self) {
        let is_plain = |one: &Self| one.details.other_revisions.is_empty();
        if self.revision == other.revision && is_plain(self) && is_plain(other) {
            self.join_same(other);
        } else {
            let mut revisions = revisions::split(self.clone());
            for theirs in revisions::split(other.clone()).into_values() {
                revisions::add(&mut revisions, theirs);
            }
            if let Some(joined) = revisions::chosen(revisions) {
                *self = joined;
            }
        }
    }

    /// Does the same if all evidence is by one revision.
    fn join_same(&mut self, other: &Self) {
        if other.label < self.label {
            self.label.clone_from(&other.label);
        }
        let starts = (self.start_span_at(), other.start_span_at());
        if let (Some(ours), Some(theirs)) = starts
            && ours != theirs
        {
            self.details.starts.add(StartRemark::Several);
        }
        let opened = [self.details.opened, other.details.opened];
        let opened = opened.into_iter().flatten().map(|opening| opening.at).min();
        self.details.opened = opened.map(|at| Opening {
            at,
            start: earliest(starts.0, starts.1),
        });
        self.start = earliest(self.start, other.start);
        self.success = earliest(self.success, other.success);
        self.failure = earliest(self.failure, other.failure);
        self.late = earliest(self.late, other.late);
        self.cancelled = earliest(self.cancelled, other.cancelled);
        self.trace = self.trace.min(other.trace);
        if let Some(theirs) = &other.customer
            && self.customer.as_ref().is_none_or(|ours| theirs < ours)
        {
            self.customer = Some(theirs.clone());
        }
        self.first_evidence_at = earliest(self.first_evidence_at, other.first_evidence_at);
        self.details.join(&other.details);
    }

    /// Returns the earliest start according to its start spans, ignoring other spans.
    pub(super) fn start_span_at(&self) -> Option<Timestamp> {
        match self.details.opened {
            Some(opening) => opening.start,
            None => self.start.map(|start| start.at),
        }
    }

    /// Returns the latest of its ends: of a success, a failure, a cancellation or a leg.
    pub fn latest_end(&self) -> Option<Timestamp> {
        let leg = self.details.legs.first_end();
        let ends = [self.success, self.failure, self.cancelled, leg];
        ends.into_iter().flatten().max()
    }
}

//! The evidence of spans before it is committed, and the reasons why spans were discarded.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Role,
    correlate::{Correlation, Identity},
    fan_out,
    follow::Linked,
    messages,
};
use crate::domain::{
    model::{
        counts::StartSpans,
        ids::{Revision, SloId},
        sampling::{Flaw, Sample, SpanRole, Weighed},
        span::{SpanKind, SpanRef, SpanView},
        time::{Resolution, Timestamp},
    },
    slo::{Indicator, Slo},
    workflow::{
        Evidence, Fact, SpanOutcome, StartRemark, Workflow,
        attributes::Completeness,
        batch::{BatchEvidence, BatchFact},
        links::{Edges, MAX_LINKS},
        reservoir::{SampleSide, SampledAttributes},
        stage_buffer::UnsortedStageEvidence,
        stage_evidence::FoundStageEvidence,
    },
};

/// The evidence of spans before it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassifiedBatch {
    /// The set of definitions by which the spans were classified.
    pub definitions: Revision,
    pub evidence: Vec<Evidence>,
    pub unusable: BTreeMap<(SloId, DiscardReason), i64>,
    /// Numbers of spans that belong to a workflow, without those that [`DiscardReason`] counts.
    pub correlated: BTreeMap<SloId, i64>,
    /// Spans that start workflows, with and without a correlation.
    pub starts: BTreeMap<SloId, StartSpans>,
    /// Evidence whose workflow is found only by links.
    pub linked: Vec<Linked>,
    /// Evidence about messages that share a context.
    pub batches: Vec<BatchEvidence>,
    /// Attributes of those events that may belong to the sample.
    pub sampling: SampledAttributes,
    /// Evidence of stages, which does not affect verdicts, of workflows that may not exist.
    pub unsorted_pieces: UnsortedStageEvidence,
    /// The part of it to be stored.
    pub pieces: Vec<FoundStageEvidence>,
    /// The edges from each span back towards its origin, if any SLO follows links.
    pub edges: Vec<Edges>,
    /// Minutes in which links of spans that end work of the SLO were lost.
    pub losses: BTreeSet<(SloId, Timestamp)>,
}

/// The reason why a span that an SLO selects was discarded, or not used completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscardReason {
    /// None of the correlators is present.
    Uncorrelated,
    /// Its time is before the horizon: its record may have been purged, so counting it could count
    /// it twice.
    TooLate,
    /// `startedAt` is missing on the span, or is not a time.
    NoStartTime,
    /// `legs.by` is missing on the span of a leg.
    NoLeg,
    /// `legs.expect` is not a whole number.
    NoNumber,
    /// It has no sampling probability, and the definition rejects such spans.
    UnknownWeight,
    /// Its sampling probability is malformed or impossible. It is still used, with an unknown
    /// weight, unless the definition rejects those.
    InvalidSampling,
    /// Its weight would exceed a million. It is still used, with a weight of a million.
    CappedWeight,
    /// A span that ends workflows had more links than its sender kept: the dropped links may have
    /// named further workflows. Counted by link.
    LostLinks,
    /// The value that identifies the workflow is too long to be an id.
    KeyTooLong,
    /// Only the first links of the span, the first elements of an array of ids, or the first
    /// messages of a batch were used.
    TooManyLinks,
    /// The origin of the workflow is more links away than are followed.
    TooManyHops,
    /// The name of its customer is too long and was truncated.
    CustomerCut,
    /// An attribute that should name its customer or group is an array of several values.
    SeveralValues,
    /// A pause, a leg or another fact that is not an end, and that belongs to an unknown one of
    /// several workflows of a batch.
    OfUnknownMessage,
    /// The stage evidence of its workflow, or that of all workflows of links, exceeds a limit.
    TooMuchStageEvidence,
    /// A workflow outside of the sample whose stages are known. Counted by workflow.
    StagesNotSampled,
    /// Its stage is beyond the limit of distinct stages.
    TooManyStages,
    /// It has more attributes, or longer ones, than are compared.
    AttributesCut,
}

impl ClassifiedBatch {
    pub fn is_empty(&self) -> bool {
        self.evidence.is_empty()
            && self.unusable.is_empty()
            && self.linked.is_empty()
            && self.batches.is_empty()
            && self.edges.is_empty()
            && self.pieces.is_empty()
    }

    /// Returns the same batch with all its stage evidence to be stored, as for known workflows.
    #[must_use]
    pub fn with_all_stages(mut self) -> Self {
        let found = std::mem::take(&mut self.unsorted_pieces).into_found();
        self.pieces.extend(found);
        self
    }

    /// Adds the first `room` fragments to those that are stored; the others are counted for the SLOs
    /// that want them.
    pub fn add_linked_stages(&mut self, mut linked: Vec<FoundStageEvidence>, room: usize) {
        for piece in linked.drain(room.min(linked.len())..) {
            for slo in piece.wanted_by.iter() {
                self.note(*slo, DiscardReason::TooMuchStageEvidence);
            }
        }
        self.pieces.extend(linked);
    }

    /// Adds evidence by an older revision of an SLO, without the counts of spans.
    pub(super) fn add_evidence_of(&mut self, older: Self) {
        self.evidence.extend(older.evidence);
        self.linked.extend(older.linked);
        self.batches.extend(older.batches);
        self.edges.extend(older.edges);
        self.losses.extend(older.losses);
    }

    /// Records why a span is not used in this role.
    pub(super) fn discard(&mut self, slo: SloId, role: Role, why: DiscardReason) {
        if role == Role::Start && why == DiscardReason::Uncorrelated {
            self.starts.entry(slo).or_default().uncorrelated += 1;
        }
        self.note(slo, why);
    }

    pub(super) fn note(&mut self, slo: SloId, why: DiscardReason) {
        *self.unusable.entry((slo, why)).or_default() += 1;
    }

    /// Adds the evidence for every workflow that the span belongs to.
    pub(super) fn add(
        &mut self,
        correlation: Correlation,
        evidence: Evidence,
        indicator: &Indicator,
        span: &dyn SpanView,
    ) {
        let slo = evidence.slo;
        self.note_correlation(&correlation, &evidence, span);
        let mut pieces = self.with_what_it_says_besides(evidence, indicator, span);
        let remarks = start_remarks(&correlation, pieces.last(), indicator, span);
        pieces.extend(remarks);
        match correlation {
            Correlation::Of { identities, .. } => {
                for identity in identities {
                    self.sample(slo, &identity, &pieces, span);
                    self.evidence.extend(pieces.iter().map(|piece| Evidence {
                        key: identity.key,
                        label: identity.label.clone(),
                        ..piece.clone()
                    }));
                }
            }
            Correlation::Origin { filter, batch } => {
                let evidence = joined(&pieces);
                self.linked.extend(evidence.map(|evidence| Linked {
                    batch,
                    ..Linked::new(slo, filter, evidence, span)
                }));
            }
            Correlation::Published { messages, .. } => {
                let what = BatchFact::Published { messages };
                let evidence = joined(&pieces);
                self.add_to_batch(
                    slo,
                    evidence.map(|evidence| (what, SpanRef::of(span), evidence)),
                );
            }
            Correlation::Received { messages, .. } => {
                for ((context, message), label) in messages {
                    let evidence = joined(&pieces).map(|evidence| Workflow { label, ..evidence });
                    let what = BatchFact::Received { message };
                    self.add_to_batch(slo, evidence.map(|evidence| (what, context, evidence)));
                }
            }
            Correlation::ReceivedByParent {
                message,
                filter,
                label,
            } => {
                let evidence = joined(&pieces).map(|evidence| Workflow { label, ..evidence });
                let linked = evidence.map(|evidence| Linked {
                    message: Some(message),
                    ..Linked::new(slo, filter, evidence, span)
                });
                self.linked.extend(linked);
                self.edges.push(Edges::to_parent(filter, span));
            }
            Correlation::Absent | Correlation::TooLong => {}
        }
    }

    fn note_correlation(
        &mut self,
        correlation: &Correlation,
        evidence: &Evidence,
        span: &dyn SpanView,
    ) {
        let slo = evidence.slo;
        // A one-span event has nothing to correlate with.
        if !matches!(evidence.fact, Fact::Decided { .. }) {
            *self.correlated.entry(slo).or_default() += 1;
        }
        if matches!(evidence.fact, Fact::Started { .. }) {
            self.starts.entry(slo).or_default().correlated += 1;
        }
        if correlation.is_cut() {
            self.note(slo, DiscardReason::TooManyLinks);
        }
        if fan_out::is_end(&evidence.fact) && correlation.is_of_links() {
            self.note_lost_links(slo, span);
        }
        if correlation.is_cut() || (correlation.is_of_links() && lacks_links(span)) {
            self.note_loss(slo, &evidence.fact);
        }
    }

    fn add_to_batch(&mut self, slo: SloId, evidence: Option<(BatchFact, SpanRef, Workflow)>) {
        self.batches
            .extend(evidence.map(|(what, context, evidence)| BatchEvidence {
                slo,
                context,
                what,
                evidence,
            }));
    }

    fn with_what_it_says_besides(
        &mut self,
        evidence: Evidence,
        indicator: &Indicator,
        span: &dyn SpanView,
    ) -> Vec<Evidence> {
        let mut pieces = Vec::new();
        if let Indicator::Workflow(workflow) = indicator {
            let besides = fan_out::besides(workflow, &evidence.fact, span);
            for fact in besides.into_iter().flatten() {
                match fact {
                    Err(why) => self.note(evidence.slo, why),
                    Ok(fact) => pieces.push(Evidence {
                        fact,
                        ..evidence.clone()
                    }),
                }
            }
        }
        pieces.push(evidence);
        pieces
    }

    /// Offers the span's attributes to the sample; only if the span itself identifies the event,
    /// since the workflow that links lead to is not known yet.
    fn sample(
        &mut self,
        slo: SloId,
        identity: &Identity,
        pieces: &[Evidence],
        span: &dyn SpanView,
    ) {
        let outcome = pieces.iter().find_map(|piece| match piece.fact {
            Fact::Decided { outcome, .. } => Some(outcome),
            Fact::Started { .. }
            | Fact::Opened { .. }
            | Fact::Succeeded { .. }
            | Fact::Failed { .. }
            | Fact::Cancelled { .. }
            | Fact::Paused(_)
            | Fact::LegSucceeded { .. }
            | Fact::LegFailed { .. }
            | Fact::ExpectsLegs(_)
            | Fact::HasTerms(_)
            | Fact::StartsAs(_) => None,
        });
        let side = match outcome {
            Some(SpanOutcome::Good) => SampleSide::Good,
            Some(SpanOutcome::Late | SpanOutcome::Failed) => SampleSide::Bad,
            None => SampleSide::Undecided,
        };
        let event = (slo, identity.key);
        match self.sampling.offer(event, side, span, &identity.label) {
            Completeness::Whole => {}
            Completeness::Cut => self.note(slo, DiscardReason::AttributesCut),
        }
    }

    fn note_lost_links(&mut self, slo: SloId, span: &dyn SpanView) {
        let lost = span.dropped_links_count();
        if lost > 0 {
            *self
                .unusable
                .entry((slo, DiscardReason::LostLinks))
                .or_default() += i64::from(lost);
        }
    }

    fn note_loss(&mut self, slo: SloId, fact: &Fact) {
        if let Some(at) = fan_out::spared_a_timeout(fact) {
            let minute = at.floor_to(Resolution::Minute.length());
            self.losses.insert((slo, minute));
        }
    }

    /// Returns the sampling of the fact's span, if known; `None` if the span is rejected without
    /// it.
    #[expect(
        clippy::option_option,
        reason = "what counts itself and what does not count are different, and neither has a sample"
    )]
    pub(super) fn weigh(
        &mut self,
        id: SloId,
        slo: &Slo,
        fact: &Fact,
        span: &dyn SpanView,
    ) -> Option<Option<Sample>> {
        let weighed = match fact.span_role() {
            Some(SpanRole::End) => slo.weighing.weigh_end(span),
            Some(SpanRole::Start) | None => slo.weighing.weigh(span),
        };
        let (sample, flaw) = match weighed {
            Ok(Weighed { sample, flaw }) => (Some(sample), flaw),
            Err(flaw) => (None, Some(flaw)),
        };
        if let Some(flaw) = flaw {
            self.note(id, flaw.into());
        }
        sample
    }
}

/// Returns remarks on a start span. Messages that it published are one workflow if nothing
/// distinguishes them, unless they are its legs.
fn start_remarks(
    correlation: &Correlation,
    evidence: Option<&Evidence>,
    indicator: &Indicator,
    span: &dyn SpanView,
) -> Vec<Evidence> {
    let evidence = evidence.filter(|one| matches!(one.fact, Fact::Started { .. }));
    let (Some(evidence), Indicator::Workflow(workflow)) = (evidence, indicator) else {
        return Vec::new();
    };
    let is_one_workflow = correlation.is_by_trace(span) && workflow.legs.is_none();
    let is_batch = is_one_workflow && messages::message_count(span) > 1;
    let is_received = matches!(span.kind(), SpanKind::Consumer | SpanKind::Server);
    let received = is_received.then_some(StartRemark::Received);
    let batch = is_batch.then_some(StartRemark::Batch);
    let remarks = [received, batch].into_iter().flatten();
    let pieces = remarks.map(|remark| Evidence {
        fact: Fact::StartsAs(remark),
        ..evidence.clone()
    });
    pieces.collect()
}

/// Returns whether its sender dropped links, or there are more than are read.
fn lacks_links(span: &dyn SpanView) -> bool {
    if span.dropped_links_count() > 0 {
        return true;
    }
    let mut links = 0;
    span.any_link(&mut |_| {
        links += 1;
        links > MAX_LINKS
    })
}

fn joined(pieces: &[Evidence]) -> Option<Workflow> {
    pieces
        .iter()
        .map(Workflow::from)
        .reduce(|mut workflow, piece| {
            workflow.join(&piece);
            workflow
        })
}

impl From<Flaw> for DiscardReason {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unknown => Self::UnknownWeight,
            Flaw::Invalid => Self::InvalidSampling,
            Flaw::Capped => Self::CappedWeight,
        }
    }
}

impl DiscardReason {
    pub const ALL: [Self; 19] = [
        Self::Uncorrelated,
        Self::TooLate,
        Self::NoStartTime,
        Self::NoLeg,
        Self::NoNumber,
        Self::UnknownWeight,
        Self::InvalidSampling,
        Self::CappedWeight,
        Self::LostLinks,
        Self::KeyTooLong,
        Self::TooManyLinks,
        Self::TooManyHops,
        Self::OfUnknownMessage,
        Self::CustomerCut,
        Self::SeveralValues,
        Self::AttributesCut,
        Self::TooMuchStageEvidence,
        Self::StagesNotSampled,
        Self::TooManyStages,
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
            Self::KeyTooLong => "key_too_long",
            Self::TooManyLinks => "too_many_links",
            Self::TooManyHops => "too_many_hops",
            Self::OfUnknownMessage => "of_unknown_message",
            Self::CustomerCut => "customer_truncated",
            Self::SeveralValues => "several_values",
            Self::AttributesCut => "attributes_truncated",
            Self::TooMuchStageEvidence => "too_many_stage_spans",
            Self::StagesNotSampled => "stages_not_sampled",
            Self::TooManyStages => "too_many_stages",
        }
    }
}

//! The evidence of spans before it is committed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Role,
    correlate::{Correlation, Identity, messages},
    discard_reason::DiscardReason,
    fan_out,
    follow::{Followed, Linked},
};
use crate::domain::{
    model::{
        counts::StartSpans,
        ids::{Revision, SloId},
        sampling::{Sample, SpanRole, Weighed},
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

    /// Adds the edges of a span that lead back along these links.
    pub(super) fn add_edges(&mut self, followed: &Followed, span: &dyn SpanView) {
        let edges = followed.edges(span);
        if edges.is_cut {
            for slo in followed.slos() {
                self.note(*slo, DiscardReason::TooManyLinks);
            }
        }
        if !edges.lead_nowhere() {
            self.edges.push(edges);
        }
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

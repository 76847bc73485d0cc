//! Resolution of evidence by links. Evidence whose workflow is found only by links is stored by
//! span: it moves when a span arrives that changes its origins, and then both workflows are joined
//! again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{Awaited, Branch, BranchEnd, ChainOrigin, Graph, LinkFilter, LinkedSpan, Origins};
use crate::domain::{
    model::{
        ids::{SloId, SpanId},
        sampling::Draws,
        span::SpanRef,
    },
    slo::LinkBatch,
    workflow::{
        EventId, EventKey, EvidenceByEvent, StartRemark, StartRemarks, TraceRef, Workflow,
        batch::{BatchEvidence, BatchFact},
        evidence::hash,
    },
};

/// The evidence of one span, and the workflows that it counts for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "columns of a row, independent of each other"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFragment {
    pub slo: SloId,
    pub filter: LinkFilter,
    pub span: SpanRef,
    /// The id of the message that it is about, if messages identify workflows.
    pub message: Option<EventKey>,
    pub evidence: Workflow,
    /// The workflows that it counts for; empty while it counts for none.
    pub workflow_keys: BTreeSet<EventKey>,
    /// The span that sent the message by which the end left the trace of the start, by workflow.
    pub sent_by: BTreeMap<EventKey, SpanId>,
    /// True if its chain divides, so that it counts for an unknown one of several workflows.
    pub is_divided: bool,
    pub batch: LinkBatch,
    /// True if it is not evidence, but a span at which chains divide: then its keys are those of
    /// the workflows whose messages it received.
    pub divides: bool,
    /// True if its chain is longer than links are followed, so that its work began further back.
    pub is_cut: bool,
}

/// The workflows that one fragment counts for, by the spans received so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FragmentResolution {
    pub workflow_keys: BTreeSet<EventKey>,
    pub sent_by: BTreeMap<EventKey, SpanId>,
    pub branches: BTreeSet<Branch>,
    /// The arrivals that may change this.
    pub waits_for: BTreeSet<Awaited>,
    pub is_cut: bool,
}

/// The result of resolving fragments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkResolution {
    /// The placement of each fragment, in the order of the argument.
    pub placements: Vec<FragmentResolution>,
    pub moves: BTreeMap<EventId, Move>,
    /// Workflows that turned out not to share a batch.
    pub ungrouped: BTreeSet<EventId>,
    /// Spans at which chains of ends divide.
    pub batches: BTreeSet<LinkedSpan>,
    /// Indexes of fragments at which, as it turned out, no chain divides: the ends behind them must
    /// be resolved again.
    pub undivided: Vec<usize>,
    /// Fragments whose chain was found to be too long, counted once each.
    pub cut: BTreeMap<SloId, i64>,
    /// Fragments that are not ends and that belong to an unknown one of several workflows, also
    /// counted once each.
    pub of_unknown_message: BTreeMap<SloId, i64>,
}

/// The change to one workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Evidence is added: join it with the stored evidence.
    Joined(Box<Workflow>),
    /// Evidence is removed: rebuild the workflow from the evidence that remains.
    Left,
}

/// Finds the workflows that fragments belong to.
pub fn place(fragments: &[EvidenceFragment], graph: &Graph) -> LinkResolution {
    let mut resolution = LinkResolution::default();
    for (nth, fragment) in fragments.iter().enumerate() {
        let mut origins = graph.origins(fragment.linked_span());
        if fragment.evidence.start.is_some() {
            // A start span starts only one workflow: if it also links to something other than the
            // start whose work it passes on, that is not a second workflow.
            let is_start = |origin: &ChainOrigin| matches!(origin, ChainOrigin::Start(_));
            origins.found.retain(is_start);
            origins.branches.clear();
        }
        let found: BTreeMap<EventKey, ChainOrigin> = origins
            .found
            .iter()
            .map(|origin| (origin.key(), *origin))
            .collect();
        let sent_by = fragment.messages(&origins);
        if fragment.divides {
            // Not when it is resolved for the first time: then no end was resolved with it as a
            // dividing span.
            if found.len() < 2 && fragment.workflow_keys.len() > 1 {
                resolution.undivided.push(nth);
            }
        } else {
            resolution.join_new(fragment, &found, &sent_by);
            resolution.add_branches(fragment, &origins.branches);
        }
        let gone = fragment.workflow_keys.iter();
        let gone = gone.filter(|key| {
            !found.contains_key(key) || sent_by.get(key) != fragment.sent_by.get(key)
        });
        let gone = gone.map(|key| (fragment.slo, *key));
        if fragment.divides {
            resolution.ungrouped.extend(gone);
        } else {
            resolution.moves.extend(gone.map(|id| (id, Move::Left)));
        }
        if origins.is_cut && !fragment.is_cut {
            *resolution.cut.entry(fragment.slo).or_default() += 1;
        }
        resolution.placements.push(FragmentResolution {
            workflow_keys: found.into_keys().collect(),
            sent_by,
            branches: origins.branches,
            waits_for: origins.waits_for,
            is_cut: origins.is_cut,
        });
    }
    resolution
}

/// Resolves fragments whose workflows are known, such as those of messages.
pub fn place_at(
    fragments: &[EvidenceFragment],
    workflow_keys: impl Iterator<Item = BTreeSet<EventKey>>,
    graph: &Graph,
) -> LinkResolution {
    let mut resolution = LinkResolution::default();
    for (fragment, workflow_keys) in fragments.iter().zip(workflow_keys) {
        for key in fragment.workflow_keys.difference(&workflow_keys) {
            resolution.moves.insert((fragment.slo, *key), Move::Left);
        }
        resolution.placements.push(FragmentResolution {
            workflow_keys,
            sent_by: BTreeMap::new(),
            branches: BTreeSet::new(),
            waits_for: awaited_contexts(fragment, graph),
            is_cut: false,
        });
    }
    resolution
}

/// Returns the arrivals that may change which batch a message is of.
pub fn awaited_contexts(fragment: &EvidenceFragment, graph: &Graph) -> BTreeSet<Awaited> {
    let contexts = graph.contexts(fragment.linked_span()).into_iter();
    contexts.map(Awaited::Span).collect()
}

impl EvidenceFragment {
    /// Returns the evidence as that of a message which carries the context of this span.
    pub fn received(&self, context: SpanRef) -> Option<BatchEvidence> {
        Some(BatchEvidence {
            slo: self.slo,
            context,
            what: BatchFact::Received {
                message: self.message?,
            },
            evidence: self.evidence.clone(),
        })
    }

    pub const fn linked_span(&self) -> LinkedSpan {
        LinkedSpan {
            slo: self.slo,
            filter: self.filter,
            span: self.span,
            batch: if self.divides {
                LinkBatch::Whole
            } else {
                self.batch
            },
        }
    }

    /// Makes the fragment of a span at which chains of the SLO divide.
    pub fn dividing(at: LinkedSpan) -> Self {
        Self {
            slo: at.slo,
            filter: at.filter,
            span: at.span,
            message: None,
            evidence: Workflow::without_evidence(at.span.trace_id),
            workflow_keys: BTreeSet::new(),
            sent_by: BTreeMap::new(),
            is_divided: false,
            batch: LinkBatch::Whole,
            divides: true,
            is_cut: false,
        }
    }

    /// Returns the evidence of the span for the workflow with this key.
    pub fn of_workflow(&self, key: EventKey) -> Cow<'_, Workflow> {
        let sent_by = self.sent_by.get(&key).copied();
        evidence_of(self.span, &self.evidence, key, sent_by)
    }

    /// Returns the span that sent the message of this end, by workflow. Of several messages that
    /// one span took together the first counts: one end ends all of them.
    fn messages(&self, origins: &Origins) -> BTreeMap<EventKey, SpanId> {
        if self.divides || BranchEnd::of(&self.evidence, self.span).is_none() {
            return BTreeMap::new();
        }
        let starts = origins.found.iter().filter_map(|origin| match origin {
            ChainOrigin::Start(start) => Some((origin.key(), *start)),
            ChainOrigin::Trace(_) | ChainOrigin::SeveralStarts(_) => None,
        });
        let messages = starts.filter_map(|(key, start)| {
            let mut sent_by = origins.sent_by.iter();
            let first = sent_by.find(|by| by.trace_id == start.trace_id && **by != start)?;
            Some((key, first.span_id))
        });
        messages.collect()
    }
}

/// Returns the part of `evidence`, by `span`, that counts for the workflow with this key.
///
/// A start span that only passes work on does not start it again, but its other facts count. An end
/// arrived by the message that `sent_by` sent.
pub fn evidence_of(
    span: SpanRef,
    evidence: &Workflow,
    key: EventKey,
    sent_by: Option<SpanId>,
) -> Cow<'_, Workflow> {
    let mut evidence = Cow::Borrowed(evidence);
    if evidence.start.is_some() && ChainOrigin::Start(span).key() != key {
        let passed_on = evidence.to_mut();
        passed_on.start = None;
        passed_on.trace = TraceRef::Other(span.trace_id);
        passed_on.details.terms = None;
        passed_on.details.starts = StartRemarks::default();
        passed_on.details.draws = Draws::default();
    }
    if let Some(by) = sent_by {
        evidence.to_mut().remark(StartRemark::Message(by));
    }
    evidence
}

/// Returns the id of a span at which chains of the SLO divide.
pub fn batch_id(at: LinkedSpan) -> [u8; 16] {
    let EventKey(id) = hash(&[
        b"batch",
        &at.slo.0.to_be_bytes(),
        &at.filter.0.to_be_bytes(),
        at.span.trace_id.as_bytes(),
        at.span.span_id.as_bytes(),
    ]);
    id
}

impl LinkResolution {
    fn join_new(
        &mut self,
        fragment: &EvidenceFragment,
        found: &BTreeMap<EventKey, ChainOrigin>,
        sent_by: &BTreeMap<EventKey, SpanId>,
    ) {
        for (key, origin) in found {
            if !fragment.workflow_keys.contains(key) {
                let by = sent_by.get(key).copied();
                let evidence = evidence_of(fragment.span, &fragment.evidence, *key, by);
                self.join(fragment.slo, *origin, evidence.into_owned());
            }
        }
    }

    /// Adds the branches of a fragment. Only an end can be assigned to one of several workflows;
    /// any other fact is useless if its workflow is unknown.
    fn add_branches(&mut self, fragment: &EvidenceFragment, branches: &BTreeSet<Branch>) {
        let is_end = BranchEnd::of(&fragment.evidence, fragment.span).is_some();
        if is_end {
            self.batches
                .extend(branches.iter().map(|branch| LinkedSpan {
                    slo: fragment.slo,
                    filter: fragment.filter,
                    span: branch.batch,
                    batch: LinkBatch::Whole,
                }));
        } else if !fragment.is_divided && !branches.is_empty() {
            let count = self.of_unknown_message.entry(fragment.slo);
            *count.or_default() += 1;
        }
    }

    fn join(&mut self, slo: SloId, origin: ChainOrigin, mut evidence: Workflow) {
        evidence.label = origin.label();
        evidence.details.is_ambiguous |= matches!(origin, ChainOrigin::SeveralStarts(_));
        self.moves
            .entry((slo, origin.key()))
            .and_modify(|known| match known {
                Move::Joined(workflow) => workflow.join(&evidence),
                Move::Left => {}
            })
            .or_insert_with(|| Move::Joined(Box::new(evidence)));
    }

    /// Returns the evidence to join with what is stored.
    pub fn joined(&self) -> EvidenceByEvent {
        let joined = self.moves.iter().filter_map(|(at, change)| match change {
            Move::Joined(workflow) => Some((*at, Workflow::clone(workflow))),
            Move::Left => None,
        });
        joined.collect()
    }

    /// Returns the workflows to rebuild.
    pub fn left(&self) -> impl Iterator<Item = EventId> + '_ {
        self.moves
            .iter()
            .filter(|(_, change)| matches!(change, Move::Left))
            .map(|(at, _)| *at)
    }
}

//! The store's treatment of evidence by links, in memory.
#![expect(
    clippy::excessive_nesting,
    reason = "what takes queries in the store are loops in loops here"
)]

use std::collections::BTreeSet;

use crate::domain::workflow::tests::*;
use crate::domain::{
    counting::ledger::rejudge,
    model::span::SpanRef,
    workflow::{
        EvidenceByEvent,
        batch::Publication,
        join,
        links::{
            Awaited, BatchDelivery, BatchGroup, Branch, BranchEnd, EvidenceFragment, Graph,
            GroupMember, LinkResolution, Move, batch_id, place, place_at,
        },
    },
};

/// The stored evidence, under the same rules: only evidence that waits for a span is resolved
/// again.
#[derive(Default)]
pub(crate) struct KeptEvidence {
    pub(crate) graph: Graph,
    pub(crate) pieces: BTreeMap<[u8; 16], EvidenceFragment>,
    waits: BTreeMap<[u8; 16], BTreeSet<Awaited>>,
    pub(crate) cut: i64,
    branches: BTreeMap<[u8; 16], BTreeSet<Branch>>,
    batches: BTreeMap<SpanRef, Publication>,
}

impl Span {
    pub(crate) fn child_of(mut self, number: u8) -> Self {
        self.parent_span_id = SpanId::from_slice(&[number; 8]);
        self
    }

    pub(crate) fn linked(self, id: &str) -> Self {
        self.linked_with(id, "", &[])
    }

    pub(crate) fn linked_with(
        mut self,
        id: &str,
        trace_state: &str,
        attributes: &[(&str, &str)],
    ) -> Self {
        let target = span(id, "", [0.0, 0.0]);
        let attributes = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()));
        self.links.push(Link {
            trace_id: Some(target.trace_id),
            span_id: Some(target.span_id),
            trace_state: trace_state.to_owned(),
            attributes: attributes.collect(),
        });
        self
    }
}

impl SloUnderTest {
    pub(crate) fn by_links() -> Self {
        Self::by(vec![
            Correlator::Trace,
            Correlator::Links {
                only: None,
                batch: LinkBatch::Each,
            },
        ])
    }

    pub(crate) fn by(correlate: Vec<Correlator>) -> Self {
        Self::workflow(WorkflowIndicator {
            correlate,
            ..workflow_slo()
        })
    }

    pub(crate) fn follow(&mut self, findings: &ClassifiedBatch) {
        for piece in &findings.batches {
            let batch = self.links.batches.entry(piece.context).or_default();
            for ((slo, key), workflow) in batch.take(piece) {
                self.judge_one(slo, key, &workflow);
            }
        }
        let (mut stale, mut arrived) = (BTreeSet::new(), BTreeSet::new());
        for edges in &findings.edges {
            self.links.graph.add(edges);
            arrived.insert(Awaited::Span(edges.span));
        }
        for linked in &findings.linked {
            let id = linked.id();
            if linked.piece.start.is_some() {
                self.links.graph.add_start(linked.slo, linked.span);
                arrived.insert(Awaited::Span(linked.span));
                arrived.insert(Awaited::StartIn(linked.span.trace_id));
            }
            self.links.pieces.entry(id).or_insert_with(|| {
                stale.insert(id);
                EvidenceFragment {
                    slo: linked.slo,
                    filter: linked.filter,
                    span: linked.span,
                    message: linked.message,
                    evidence: Workflow {
                        first_evidence_at: Some(self.watermark),
                        ..linked.piece.clone()
                    },
                    workflow_keys: BTreeSet::new(),
                    sent_by: BTreeMap::new(),
                    is_divided: false,
                    batch: linked.batch,
                    divides: false,
                    is_cut: false,
                }
            });
        }
        let waiting = self.links.waits.iter();
        let woken = waiting.filter(|(_, awaited)| !awaited.is_disjoint(&arrived));
        stale.extend(woken.map(|(id, _)| *id));
        while !stale.is_empty() {
            let ids: Vec<_> = stale.into_iter().collect();
            stale = self.place(&ids);
        }
        self.judge_groups();
    }

    /// Judges all groups again, whereas the store judges only those that have changed.
    fn judge_groups(&mut self) {
        let slos: BTreeSet<SloId> = self.links.pieces.values().map(|piece| piece.slo).collect();
        for slo in slos {
            let in_group = self
                .known
                .iter()
                .filter(|((of, _), judged)| *of == slo && judged.workflow.details.shared.is_some());
            let mut shares: BTreeMap<EventKey, Option<SharedEnd>> =
                in_group.map(|((_, key), _)| (*key, None)).collect();
            let groups = BatchGroup::of(self.deliveries(slo));
            let mut traces = BTreeMap::new();
            for group in &groups {
                let skew = self.judging(slo).skew_tolerance;
                let members = group.workflow_keys.iter().map(|key| {
                    let workflow = self.known.get(&(slo, *key)).map(|judged| &judged.workflow);
                    (*key, GroupMember::new(workflow, skew))
                });
                for (key, end) in group.judge(&members.collect()) {
                    shares.insert(key, Some(end));
                    traces.extend(group.trace_of(end).map(|trace| (key, trace)));
                }
            }
            for (key, end) in shares {
                let known = self
                    .known
                    .get(&(slo, key))
                    .map(|judged| judged.workflow.clone());
                let workflow = match (known, traces.get(&key)) {
                    (Some(workflow), Some(trace)) => Some(workflow.named_by_batch(*trace)),
                    (None, Some(trace)) => Some(Workflow::without_evidence(*trace)),
                    (workflow, None) => workflow,
                };
                let Some(mut workflow) = workflow else {
                    continue;
                };
                workflow.details.shared = end;
                if workflow.has_evidence() {
                    self.judge_whole(slo, key, workflow);
                } else {
                    self.judge_left(slo, key);
                }
            }
        }
    }

    fn deliveries(&self, slo: SloId) -> Vec<BatchDelivery> {
        let batches = self.links.pieces.values();
        let batches = batches.filter(|piece| piece.divides && piece.slo == slo);
        let delivery = |batch: &EvidenceFragment| {
            let mut delivery = BatchDelivery {
                span: batch.span,
                workflow_keys: batch.workflow_keys.clone(),
                branches: BTreeMap::new(),
            };
            for (id, branches) in &self.links.branches {
                let piece = &self.links.pieces[id];
                let Some(end) = BranchEnd::of(&piece.evidence, piece.span) else {
                    continue;
                };
                for branch in branches.iter().filter(|branch| branch.batch == batch.span) {
                    delivery.take(branch.by, end);
                }
            }
            delivery
        };
        batches.map(delivery).collect()
    }

    /// Returns the evidence that must be resolved again.
    fn place(&mut self, ids: &[[u8; 16]]) -> BTreeSet<[u8; 16]> {
        let is_of_message = |id: &&[u8; 16]| self.links.pieces[*id].message.is_some();
        let (messages, others): (Vec<_>, Vec<_>) = ids.iter().partition(is_of_message);
        let fragments = |ids: &[[u8; 16]]| -> Vec<EvidenceFragment> {
            ids.iter().map(|id| self.links.pieces[id].clone()).collect()
        };
        let placement = place(&fragments(&others), &self.links.graph);
        let messages_placed = self.resolve_messages(&fragments(&messages));
        let mut again = BTreeSet::new();
        for nth in &placement.undivided {
            let batch = self.links.pieces[&others[*nth]].span;
            let divided = self.links.branches.iter();
            let divided = divided.filter(|(_, all)| all.iter().any(|one| one.batch == batch));
            again.extend(divided.map(|(id, _)| *id));
        }
        for at in &placement.batches {
            self.links.pieces.entry(batch_id(*at)).or_insert_with(|| {
                again.insert(batch_id(*at));
                EvidenceFragment::dividing(*at)
            });
        }
        self.move_to(&others, placement);
        self.move_to(&messages, messages_placed);
        again
    }

    fn resolve_messages(&mut self, fragments: &[EvidenceFragment]) -> LinkResolution {
        let (mut keys, mut gathered) = (Vec::new(), EvidenceByEvent::new());
        for fragment in fragments {
            let mut own = BTreeSet::new();
            for context in self.links.graph.contexts(fragment.linked_span()) {
                let piece = fragment.received(context).unwrap();
                let batch = self.links.batches.entry(context).or_default();
                join(&mut gathered, batch.take(&piece));
                own.extend(batch.key_of(&piece));
            }
            keys.push(own);
        }
        for ((slo, key), workflow) in gathered {
            self.judge_one(slo, key, &workflow);
        }
        place_at(fragments, keys.into_iter(), &self.links.graph)
    }

    fn move_to(&mut self, ids: &[[u8; 16]], placement: LinkResolution) {
        for (id, placed) in ids.iter().zip(&placement.placements) {
            let piece = self.links.pieces.get_mut(id).unwrap();
            (piece.workflow_keys, piece.is_cut) = (placed.workflow_keys.clone(), placed.is_cut);
            piece.sent_by.clone_from(&placed.sent_by);
            piece.is_divided = !placed.branches.is_empty();
            self.links.branches.insert(*id, placed.branches.clone());
            self.links.waits.insert(*id, placed.waits_for.clone());
        }
        self.links.cut += placement.cut.values().sum::<i64>();
        for count in placement.of_unknown_message.values() {
            let unusable = self.unusable.entry(DiscardReason::OfUnknownMessage);
            *unusable.or_default() += count;
        }
        for ((slo, key), change) in placement.moves {
            match change {
                Move::Joined(workflow) => self.judge_one(slo, key, &workflow),
                Move::Left => self.judge_left(slo, key),
            }
        }
    }

    fn judge_left(&mut self, slo: SloId, key: EventKey) {
        let remaining = self
            .links
            .pieces
            .values()
            .filter(|piece| !piece.divides && piece.workflow_keys.contains(&key))
            .map(|piece| ((slo, key), piece.of_workflow(key).into_owned()));
        let mut left = EvidenceByEvent::new();
        join(&mut left, remaining);
        let left = left.remove(&(slo, key));
        let Some(known) = self.known.remove(&(slo, key)) else {
            return;
        };
        let silence = left
            .as_ref()
            .and_then(|left| silence_of(Some(&known), left, &self.judging(slo)));
        let (judging, mut moves) = (self.judging_in(slo, silence), CountDelta::default());
        let judged = rejudge(slo, &known, left.as_ref(), &judging, &mut moves);
        self.known.extend(judged.map(|judged| ((slo, key), judged)));
        self.moves.push(moves);
    }
}

//! Resolves evidence whose workflow is found only by links: when it arrives, and again when a
//! missing span arrives.
//!
//! Each writer holds one lock until the end of its transaction, and takes it before any other. So
//! each sees everything that earlier writers have committed: evidence never misses a link that it
//! waits for, and two replicas never move the same evidence.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Discarded, Recording};
use crate::{
    domain::{
        counting::ledger::{rejudge, silence_of},
        workflow::{
            EventId, EvidenceByEvent, Workflow,
            batch::BatchEvidence,
            classify::{DiscardReason, Linked},
            join,
            links::{Edges, EvidenceFragment, GroupsOfBatches, LinkResolution, LinkedSpan, place},
        },
    },
    store::{EvidenceRow, StoreError, batch_ids},
};

/// The number of rounds in one transaction: resolved evidence may require that other evidence is
/// resolved again. The rest is left for the next transaction.
const ROUNDS: usize = 4;

/// Links, and messages that share a context, from new requests.
#[derive(Debug, Default)]
pub struct NewLinks<'a> {
    pub linked: Vec<&'a Linked>,
    pub edges: Vec<&'a Edges>,
    pub batches: Vec<&'a BatchEvidence>,
}

/// The result of resolving links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkUpdates {
    /// Evidence for workflows, to be recorded in the same transaction.
    pub gathered: EvidenceByEvent,
    /// Groups of workflows that share batches and are judged together.
    pub groups: GroupsOfBatches,
    /// Evidence that could not be used.
    pub discarded: Discarded,
    /// The number of fragments that were resolved.
    pub placed: usize,
}

impl NewLinks<'_> {
    pub fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.edges.is_empty() && self.batches.is_empty()
    }
}

impl Recording<'_, '_> {
    /// Stores what is new, resolves the evidence that it affects, and judges the workflows that
    /// evidence has left. Must be the first step of a transaction.
    pub async fn follow_links(
        &mut self,
        new_links: &NewLinks<'_>,
    ) -> Result<LinkUpdates, StoreError> {
        self.tx.lock_links().await?;
        let epoch = self.state.epoch;
        let (gathered, _) = self.take_batches(&new_links.batches, epoch).await?;
        let mut spans = self.tx.add_edges(&new_links.edges, epoch).await?;
        let linked = new_links.linked.iter();
        let linked = linked.map(|one| one.first_heard_at((self.judging)(one.slo).now));
        let started = self.tx.add_evidence(linked.collect(), epoch).await?;
        for (filter, span) in started {
            spans.push_start(filter, span);
        }
        self.tx.wake(&spans).await?;
        let mut updates = LinkUpdates {
            gathered,
            ..LinkUpdates::default()
        };
        let mut placement = Moved::default();
        for _ in 0..ROUNDS {
            let pieces = self.tx.unresolved_evidence().await?;
            if pieces.is_empty() {
                break;
            }
            updates.placed += pieces.len();
            let more = self
                .resolve_fragments(pieces, epoch, &mut placement)
                .await?;
            join(&mut updates.gathered, more);
        }
        let left = self.tx.what_is_left(&placement.left).await?;
        let without_row = self.rejudge_left(left).await?;
        let groups = self
            .tx
            .groups_of_batches(&placement.batch_ids, &placement.touched);
        updates.groups = groups.await?;
        updates.discarded = placement.discarded;
        // Workflows that evidence has left were rebuilt from all their evidence, including any that
        // joined them.
        placement
            .joined
            .retain(|id, _| !placement.left.contains(id));
        join(&mut updates.gathered, placement.joined);
        join(&mut updates.gathered, without_row);
        Ok(updates)
    }

    /// Resolves fragments. Returns the evidence of workflows that follows from messages.
    async fn resolve_fragments(
        &mut self,
        pieces: Vec<EvidenceRow>,
        epoch: i32,
        moved: &mut Moved,
    ) -> Result<EvidenceByEvent, StoreError> {
        let spans: BTreeSet<LinkedSpan> = pieces
            .iter()
            .map(|piece| piece.fragment.linked_span())
            .collect();
        let graph = self.tx.graph_of(&spans).await?;
        let (messages, others): (Vec<EvidenceRow>, Vec<EvidenceRow>) = pieces
            .into_iter()
            .partition(|piece| piece.fragment.message.is_some());
        let fragments = |pieces: &[EvidenceRow]| -> Vec<EvidenceFragment> {
            pieces.iter().map(|piece| piece.fragment.clone()).collect()
        };
        let (of_messages, gathered) = self
            .resolve_messages(&fragments(&messages), &graph, epoch)
            .await?;
        let of_others = place(&fragments(&others), &graph);
        self.tx.add_dividing(&of_others.batches, epoch).await?;
        let undivided = of_others.undivided.iter();
        let undivided = undivided.filter_map(|nth| Some(others.get(*nth)?.id));
        self.tx
            .mark_unresolved(&undivided.collect::<Vec<_>>())
            .await?;
        for (pieces, resolution) in [(messages, of_messages), (others, of_others)] {
            self.tx
                .write_resolution(&pieces, &resolution, epoch)
                .await?;
            moved.add(&pieces, resolution);
        }
        Ok(gathered)
    }

    /// Judges these workflows again. Returns those that have no row and must be recorded as new.
    async fn rejudge_left(
        &mut self,
        left: BTreeMap<EventId, Option<Workflow>>,
    ) -> Result<EvidenceByEvent, StoreError> {
        let mut without_row = EvidenceByEvent::new();
        if left.is_empty() {
            return Ok(without_row);
        }
        let known = self.tx.lock_known(&left.keys().copied().collect()).await?;
        let silent = left.iter().filter_map(|(id, workflow)| {
            let known = &known.get(id)?.judged;
            let range = silence_of(Some(known), workflow.as_ref()?, &(self.judging)(id.0))?;
            Some((*id, range))
        });
        let lost = self.tx.lost_among(&silent.collect()).await?;
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for (id, workflow) in left {
            match (known.get(&id), workflow) {
                (Some(row), workflow) => {
                    let judging = self.judging_of(&id, &lost);
                    let (before, delta) = (&row.judged, &mut self.delta);
                    let judged = rejudge(id.0, before, workflow.as_ref(), &judging, delta);
                    match judged {
                        Some(judged) => changed.push((id, Some(row), judged)),
                        None => gone.push((id, row)),
                    }
                }
                (None, Some(workflow)) => {
                    without_row.insert(id, workflow);
                }
                (None, None) => {}
            }
        }
        self.write(&changed).await?;
        self.delete(&gone).await?;
        Ok(without_row)
    }
}

/// The evidence that one transaction resolved.
#[derive(Default)]
struct Moved {
    joined: EvidenceByEvent,
    left: BTreeSet<EventId>,
    /// All workflows whose evidence or groups have changed.
    touched: BTreeSet<EventId>,
    /// Spans at which chains divide and whose branches have changed.
    batch_ids: BTreeSet<Uuid>,
    discarded: Discarded,
}

impl Moved {
    fn add(&mut self, pieces: &[EvidenceRow], resolution: LinkResolution) {
        self.left.extend(resolution.left());
        join(&mut self.joined, resolution.joined());
        self.touched.extend(resolution.moves.keys());
        self.touched.extend(&resolution.ungrouped);
        for (piece, placed) in pieces.iter().zip(&resolution.placements) {
            self.batch_ids.extend(&piece.batch_ids);
            self.batch_ids.extend(batch_ids(&piece.fragment, placed));
            if piece.fragment.divides {
                self.batch_ids.insert(piece.id);
            }
        }
        let reasons = [
            (DiscardReason::TooManyHops, resolution.cut),
            (
                DiscardReason::OfUnknownMessage,
                resolution.of_unknown_message,
            ),
        ];
        for (why, counts) in reasons {
            for (slo, count) in counts {
                *self.discarded.entry((slo, why)).or_default() += count;
            }
        }
    }
}

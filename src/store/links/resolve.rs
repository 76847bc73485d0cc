//! Evidence whose workflow is found only by links: resolved when it arrives, and again when a
//! missing span arrives.
//!
//! Each writer holds one lock until the end of its transaction, and takes it before any other. So
//! each sees everything that earlier writers have committed: evidence never misses an edge that it
//! waits for, and two replicas never move the same evidence. Workflows are locked after it in their
//! own order, as in [`crate::store::workflows::join`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::{EvidenceRow, batch_ids};
use crate::{
    domain::{
        counting::ledger::CountDelta,
        model::ids::SloId,
        workflow::{
            EventId, EvidenceByEvent,
            batch::BatchEvidence,
            classify::{DiscardReason, Linked},
            join,
            links::{Edges, EvidenceFragment, GroupsOfBatches, LinkResolution, LinkedSpan, place},
        },
    },
    store::{StoreError, Tx, workflows::join::JudgingBySlo},
};

/// Key of the advisory lock that writers of links hold.
const LINK_LOCK: i64 = 0x0074_6872_6c69_6e6b;

/// The number of rounds in one transaction: resolved evidence may show that other evidence must be
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
    pub discarded: BTreeMap<(SloId, DiscardReason), i64>,
    /// The number of fragments that were resolved.
    pub placed: usize,
}

impl NewLinks<'_> {
    pub fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.edges.is_empty() && self.batches.is_empty()
    }
}

impl Tx<'_> {
    /// Stores what is new, resolves the evidence that it affects, and judges the workflows that
    /// evidence has left. Must be the first step of a transaction.
    pub async fn follow_links(
        &mut self,
        new_links: &NewLinks<'_>,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<LinkUpdates, StoreError> {
        self.lock_links().await?;
        let epoch = self.current_epoch().await?;
        let (gathered, _) = self.take_batches(&new_links.batches, epoch).await?;
        let mut spans = self.add_edges(&new_links.edges, epoch).await?;
        let started = self.add_evidence(&new_links.linked, epoch, judging).await?;
        for (filter, span) in started {
            spans.push_start(filter, span);
        }
        self.wake(&spans).await?;
        let mut updates = LinkUpdates {
            gathered,
            ..LinkUpdates::default()
        };
        let mut placement = Moved::default();
        for _ in 0..ROUNDS {
            let pieces = self.unresolved_evidence().await?;
            if pieces.is_empty() {
                break;
            }
            updates.placed += pieces.len();
            let more = self
                .resolve_fragments(pieces, epoch, &mut placement)
                .await?;
            join(&mut updates.gathered, more);
        }
        let left = self.what_is_left(&placement.left).await?;
        let without_row = self.rejudge_left(left, judging, moves).await?;
        updates.groups = self.groups_of_batches(&placement).await?;
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
        let graph = self.graph_of(&spans).await?;
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
        self.add_dividing(&of_others.batches, epoch).await?;
        let undivided = of_others.undivided.iter();
        let undivided = undivided.filter_map(|nth| Some(others.get(*nth)?.id));
        self.mark_unresolved(&undivided.collect::<Vec<_>>()).await?;
        for (pieces, resolution) in [(messages, of_messages), (others, of_others)] {
            self.write_resolution(&pieces, &resolution, epoch).await?;
            moved.add(&pieces, resolution);
        }
        Ok(gathered)
    }

    /// Blocks other writers of links until the end of the transaction.
    pub(crate) async fn lock_links(&mut self) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- links.hold\nselect pg_advisory_xact_lock($1)").bind(LINK_LOCK);
        self.execute(statement).await?;
        Ok(())
    }

    /// Returns whether unresolved evidence is left.
    pub async fn has_unresolved_evidence(&mut self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "-- link_evidence.has_unresolved
             select exists (select 1 from link_evidence where is_unresolved)",
        )
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }
}

/// The evidence that one transaction resolved.
#[derive(Default)]
pub(crate) struct Moved {
    joined: EvidenceByEvent,
    pub(crate) left: BTreeSet<EventId>,
    /// All workflows whose evidence or groups have changed.
    pub(crate) touched: BTreeSet<EventId>,
    /// Spans at which chains divide and whose branches have changed.
    pub(crate) batch_ids: BTreeSet<Uuid>,
    discarded: BTreeMap<(SloId, DiscardReason), i64>,
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

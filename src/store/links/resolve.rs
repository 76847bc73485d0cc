//! Evidence of workflows that only links can tell: placed, and placed anew when a missing span comes.
//!
//! Whoever writes here holds one lock until the end of the transaction, taken before any other. So
//! each sees all that those before have committed: no edge can be missed by evidence that waits for
//! it, nor can two replicas move the same piece. Workflows are locked after it in their own order, as
//! in [`crate::store::workflows::join`].

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::{EvidenceRow, batch_ids};
use crate::{
    domain::{
        counting::ledger::CountDelta,
        model::ids::SloId,
        workflow::{
            EventId, EvidenceByEvent,
            batch::BatchPiece,
            classify::{DiscardReason, Linked},
            join,
            links::{Edges, EvidenceFragment, GroupsOfBatches, LinkResolution, LinkedSpan, place},
        },
    },
    store::{StoreError, Tx, workflows::join::JudgingBySlo},
};

/// Key of the advisory lock that writers of links hold.
const LINK_LOCK: i64 = 0x0074_6872_6c69_6e6b;

/// How often evidence is placed in one transaction: what is placed may show that other evidence must be
/// placed anew. What is then left is for the next transaction.
const ROUNDS: usize = 4;

/// What requests say of links, and of messages that share a context.
#[derive(Debug, Default)]
pub struct LinkNews<'a> {
    pub linked: Vec<&'a Linked>,
    pub edges: Vec<&'a Edges>,
    pub batches: Vec<&'a BatchPiece>,
}

/// What following links came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkUpdates {
    /// Evidence for workflows, to be recorded in the same transaction.
    pub gathered: EvidenceByEvent,
    /// Workflows of batches that must be judged by number.
    pub groups: GroupsOfBatches,
    /// What could not be used as it is.
    pub discarded: BTreeMap<(SloId, DiscardReason), i64>,
    /// How many pieces of evidence were placed.
    pub placed: usize,
}

impl LinkNews<'_> {
    pub fn is_empty(&self) -> bool {
        self.linked.is_empty() && self.edges.is_empty() && self.batches.is_empty()
    }
}

impl Tx<'_> {
    /// Writes down what is new, places the evidence that it concerns, and judges anew what evidence
    /// has left. The first thing that a transaction does.
    pub async fn follow_links(
        &mut self,
        news: &LinkNews<'_>,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<LinkUpdates, StoreError> {
        self.hold_links().await?;
        let epoch = self.current_epoch().await?;
        let (gathered, _) = self.take_batches(&news.batches, epoch).await?;
        let mut spans = self.add_edges(&news.edges, epoch).await?;
        let started = self.add_pieces(&news.linked, epoch, judging).await?;
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
            let pieces = self.stale_pieces().await?;
            if pieces.is_empty() {
                break;
            }
            updates.placed += pieces.len();
            let more = self.place_pieces(pieces, epoch, &mut placement).await?;
            join(&mut updates.gathered, more);
        }
        let left = self.what_is_left(&placement.left).await?;
        let without_row = self.rejudge_left(left, judging, moves).await?;
        updates.groups = self.groups_of_batches(&placement).await?;
        updates.discarded = placement.discarded;
        // What evidence has left was made of all that remains, what came to it included.
        placement
            .joined
            .retain(|id, _| !placement.left.contains(id));
        join(&mut updates.gathered, placement.joined);
        join(&mut updates.gathered, without_row);
        Ok(updates)
    }

    /// Returns the evidence that messages give of workflows.
    async fn place_pieces(
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
            .place_messages(&fragments(&messages), &graph, epoch)
            .await?;
        let of_others = place(&fragments(&others), &graph);
        self.add_dividing(&of_others.batches, epoch).await?;
        let undivided = of_others.undivided.iter();
        let undivided = undivided.filter_map(|nth| Some(others.get(*nth)?.id));
        self.place_again(&undivided.collect::<Vec<_>>()).await?;
        for (pieces, resolution) in [(messages, of_messages), (others, of_others)] {
            self.write_placement(&pieces, &resolution, epoch).await?;
            moved.add(&pieces, resolution);
        }
        Ok(gathered)
    }

    /// Keeps all others from writing links until the end of the transaction.
    pub(crate) async fn hold_links(&mut self) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- links.hold\nselect pg_advisory_xact_lock($1)").bind(LINK_LOCK);
        self.execute(statement).await?;
        Ok(())
    }

    /// Whether evidence is left that must be placed.
    pub async fn has_stale_evidence(&mut self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "-- link_evidence.has_unresolved
             select exists (select 1 from link_evidence where is_unresolved)",
        )
        .fetch_one(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))
    }
}

/// What was placed in one transaction.
#[derive(Default)]
pub(crate) struct Moved {
    joined: EvidenceByEvent,
    pub(crate) left: BTreeSet<EventId>,
    /// All workflows that something has changed of.
    pub(crate) touched: BTreeSet<EventId>,
    /// Spans at which chains divide that something has changed of.
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

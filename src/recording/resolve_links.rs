//! Resolves evidence again after a missing span arrived, and for the first time where messages or
//! batches are concerned. Checks what was resolved without a lock.
//!
//! A transaction that stores edges and evidence sees nothing of others that run at the same time.
//! So after its commit a check looks again: for evidence of others that waits for its spans, and
//! whether its own evidence would be resolved in the same way. Of two transactions, one is committed
//! when the other's check begins, so no edge is missed, and no writer waits for another.
//!
//! Only evidence that has to move is resolved under one lock, which is taken before any row. It then
//! waits for other spans, so a check follows this, too.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    Discarded, JudgingBySlo, Recording,
    known_locks::repeat,
    link_updates::{LinkCheck, LinkUpdates, fragments, graph_of_starts, ids, keys_of},
};
use crate::{
    domain::{
        counting::ledger::{rejudge, silence_of},
        model::time::Timestamp,
        workflow::{
            EventId, EvidenceByEvent, Workflow,
            classify::DiscardReason,
            join,
            links::{
                EvidenceFragment, FragmentResolution, Graph, LinkResolution, LinkedSpan,
                awaited_contexts, place,
            },
        },
    },
    store::{
        EvidenceRow, EvidenceRows, KnownWorkflow, PendingSpans, SpanColumns, SpanCounts, Store,
        StoreError, Writer, batch_ids,
    },
};

/// The number of rounds in one transaction: resolved evidence may require that other evidence is
/// resolved again. The rest is left for the next transaction.
const ROUNDS: usize = 4;

/// What is to be resolved again.
#[derive(Debug, Default)]
struct ToResolve {
    evidence_ids: BTreeSet<Uuid>,
    arrived: PendingSpans,
    /// Workflows that may be in groups.
    touched: BTreeSet<EventId>,
}

impl Recording<'_, '_> {
    /// Checks what an earlier transaction stored. Returns the changes that follow, if there are any.
    /// Must be the first step of a transaction.
    pub async fn check_links(
        &mut self,
        check: &LinkCheck,
    ) -> Result<Option<LinkUpdates>, StoreError> {
        if !self.tx.take_link_check(check.id).await? {
            return Ok(None);
        }
        let own: BTreeSet<Uuid> = check.rows.iter().map(|row| row.id).collect();
        let mut arrived = self.tx.waiting_for(&check.arrived).await?;
        arrived.retain(|(.., evidence_id)| !own.contains(evidence_id));
        let mut evidence_ids = self.placed_differently(check).await?;
        evidence_ids.extend(arrived.iter().map(|(.., evidence_id)| *evidence_id));
        let (none, mut touched) = (BTreeSet::new(), check.joined.clone());
        let groups = self.tx.groups_of_batches(&none, &touched).await?;
        touched.retain(|id| !groups.alone.contains(id));
        if !check.is_left && evidence_ids.is_empty() && touched.is_empty() {
            return Ok(None);
        }
        let again = ToResolve {
            evidence_ids,
            arrived,
            touched,
        };
        self.resolve_again(again).await.map(Some)
    }

    /// Resolves evidence that is left to be resolved, and carries out a check that its own transaction
    /// has not. Must be the first step of a transaction.
    pub async fn resolve_left(&mut self) -> Result<LinkUpdates, StoreError> {
        let mut again = ToResolve::default();
        if let Some(check) = self.tx.take_any_link_check().await? {
            again.arrived = self.tx.waiting_for(&check.arrived).await?;
            again.evidence_ids = check.evidence_ids;
            let waiting = again.arrived.iter().map(|(.., evidence_id)| *evidence_id);
            again.evidence_ids.extend(waiting);
        }
        self.resolve_again(again).await
    }

    /// Returns the evidence of `check` that would be placed differently by what is known now.
    async fn placed_differently(
        &mut self,
        check: &LinkCheck,
    ) -> Result<BTreeSet<Uuid>, StoreError> {
        let fragments = fragments(&check.rows);
        let spans = fragments.iter().map(EvidenceFragment::linked_span);
        let mut graph = graph_of_starts(&check.rows);
        self.tx.load_origins(&spans.collect(), &mut graph).await?;
        let now = place(&fragments, &graph).placements;
        let rows = check.rows.iter().zip(&check.placements).zip(now);
        let changed = rows.filter(|((row, before), now)| match row.fragment.message {
            Some(_) => before.waits_for != awaited_contexts(&row.fragment, &graph),
            None => *before != now,
        });
        Ok(changed.map(|((row, _), _)| row.id).collect())
    }

    async fn resolve_again(&mut self, again: ToResolve) -> Result<LinkUpdates, StoreError> {
        self.tx.lock_links().await?;
        let epoch = self.state.epoch;
        let (ids, arrived) = (&again.evidence_ids, &again.arrived);
        self.tx.resolve_again(ids, arrived).await?;
        let mut updates = LinkUpdates::default();
        let mut moved = Moved {
            touched: again.touched,
            ..Moved::default()
        };
        for _ in 0..ROUNDS {
            let pieces = self.tx.unresolved_evidence().await?;
            if pieces.is_empty() {
                break;
            }
            updates.placed += pieces.len();
            let more = self.resolve_fragments(pieces, epoch, &mut moved).await?;
            join(&mut updates.gathered, more);
        }
        let without_row = self.rebuild_left(&moved, &updates.gathered).await?;
        let groups = self.tx.groups_of_batches(&moved.batch_ids, &moved.touched);
        updates.groups = groups.await?;
        updates.discarded = moved.discarded;
        // Workflows that evidence has left were rebuilt from all their evidence, including any that
        // joined them.
        moved.joined.retain(|id, _| !moved.left.contains(id));
        join(&mut updates.gathered, moved.joined);
        join(&mut updates.gathered, without_row);
        updates.check = self.check_of(moved.resolved).await?;
        Ok(updates)
    }

    /// Stores that evidence which was resolved is to be checked, since it may wait for other spans now.
    async fn check_of(
        &mut self,
        resolved: BTreeMap<Uuid, (EvidenceRow, FragmentResolution)>,
    ) -> Result<Option<LinkCheck>, StoreError> {
        if resolved.is_empty() {
            return Ok(None);
        }
        let (rows, placements): (Vec<_>, Vec<_>) = resolved.into_values().unzip();
        let arrived = SpanColumns::default();
        Ok(Some(LinkCheck {
            id: self.tx.add_link_check(&arrived, ids(&rows)).await?,
            arrived,
            rows,
            placements,
            joined: BTreeSet::new(),
            is_left: false,
        }))
    }

    /// Rebuilds the workflows that evidence has left. Returns those that had no row.
    ///
    /// All rows are locked before the evidence is read: what others join to them later is added to
    /// what is rebuilt, and what they joined before is among the evidence.
    async fn rebuild_left(
        &mut self,
        moved: &Moved,
        gathered: &EvidenceByEvent,
    ) -> Result<EvidenceByEvent, StoreError> {
        if moved.left.is_empty() {
            return Ok(EvidenceByEvent::new());
        }
        let joined = moved.joined.keys().chain(gathered.keys());
        let joined = joined.chain(&moved.touched);
        let ids = moved.left.iter().chain(joined).copied().collect();
        let known = self.tx.lock_known(&ids).await?;
        let left = self.tx.what_is_left(&moved.left).await?;
        self.rejudge_left(left, &known).await
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
        let mut graph = Graph::default();
        self.tx.load_origins(&spans, &mut graph).await?;
        let (messages, others): (Vec<EvidenceRow>, Vec<EvidenceRow>) = pieces
            .into_iter()
            .partition(|piece| piece.fragment.message.is_some());
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
            moved.add(pieces, resolution);
        }
        Ok(gathered)
    }

    /// Judges these workflows again; `known` has the rows that were locked before their evidence was
    /// read. Returns those that had no row and must be recorded as new.
    async fn rejudge_left(
        &mut self,
        left: BTreeMap<EventId, Option<Workflow>>,
        known: &BTreeMap<EventId, KnownWorkflow>,
    ) -> Result<EvidenceByEvent, StoreError> {
        let mut without_row = EvidenceByEvent::new();
        if left.is_empty() {
            return Ok(without_row);
        }
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
        self.note(&changed).await?;
        self.write_rows().await?;
        self.delete(&gone).await?;
        Ok(without_row)
    }

    /// Records what follows from links, with the counts. Returns what is to be checked after the
    /// commit.
    pub async fn record_updates(
        mut self,
        updates: LinkUpdates,
        writer: Writer,
        now: Timestamp,
    ) -> Result<Option<LinkCheck>, StoreError> {
        self.apply(&updates.gathered, &updates.groups).await?;
        let spans = SpanCounts {
            discarded: updates.discarded,
            ..SpanCounts::default()
        };
        self.write_counts(writer, now, &spans).await?;
        Ok(updates.check)
    }
}

/// Carries out a check, and those that follow from it.
pub async fn check_links(
    store: &Store,
    writer: Writer,
    judging: JudgingBySlo<'_>,
    now: Timestamp,
    check: LinkCheck,
) -> Result<(), StoreError> {
    let mut due = Some(check);
    while let Some(check) = due {
        (due, _) = repeat(|_| carry_out(store, writer, judging, now, &check)).await?;
    }
    Ok(())
}

/// Carries out one check. Returns the one that follows.
async fn carry_out(
    store: &Store,
    writer: Writer,
    judging: JudgingBySlo<'_>,
    now: Timestamp,
    check: &LinkCheck,
) -> Result<Option<LinkCheck>, StoreError> {
    let (mut tx, state) = store.begin_recording("check links").await?;
    let mut recording = Recording::new(&mut tx, state, judging);
    let due = match recording.check_links(check).await? {
        Some(updates) => recording.record_updates(updates, writer, now).await?,
        None => None,
    };
    tx.commit().await?;
    Ok(due)
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
    /// What was resolved, and how it was last.
    resolved: BTreeMap<Uuid, (EvidenceRow, FragmentResolution)>,
}

impl Moved {
    fn add(&mut self, pieces: EvidenceRows, resolution: LinkResolution) {
        self.left.extend(resolution.left());
        join(&mut self.joined, resolution.joined());
        self.touched
            .extend(keys_of(&pieces, &resolution.placements));
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
        let resolved = pieces.into_iter().zip(resolution.placements);
        let resolved = resolved.map(|(piece, placed)| (piece.id, (piece, placed)));
        self.resolved.extend(resolved);
    }
}

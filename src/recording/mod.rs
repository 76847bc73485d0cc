//! Recording: turns evidence into verdicts, and verdicts into counts, in one transaction.
//!
//! These are the use cases that write the ledger. They call [`crate::store`] and [`crate::domain`]
//! in turn.
//!
//! Writers never deadlock. All share one lock; one that moves evidence of links then takes another;
//! then new edges and evidence are inserted in their order; then known workflows are locked, or
//! updated, in the order of their keys; only then are new ones inserted, again in that order. A
//! writer that waits for a known workflow has inserted nothing yet, and one that waits for another's
//! insert waits for a greater key than any it has inserted. If another replica has inserted the
//! same key in between, the whole transaction is repeated from the start and finds the row.
//!
//! Updates, inserts and counts are one statement, which runs them in this order: each statement more is
//! one more round trip to the database.
//!
//! The first attempt to record evidence locks no known workflow: it reads them, and updates only the
//! versions that it has read ([`KnownRows::Read`]). If another has changed one of them in
//! between, the transaction is repeated with locks, which cannot fail in this way again.

mod apply;
mod assign_groups;
mod commit;
mod known_locks;
mod place_links;
mod place_messages;
mod resolve_links;
mod stage_keeper;
mod timeouts;

use std::collections::{BTreeMap, BTreeSet};

pub use commit::{Commit, CommitPart, Committer, RecordedWorkflows};
pub use known_locks::{KnownLocks, KnownRows};
pub use place_links::{LinkUpdates, NewLinks};
pub use resolve_links::{LinkCheck, check_links};
pub use stage_keeper::{StageKeeper, WaitingStages};
pub use timeouts::JudgedDue;

use crate::{
    domain::{
        counting::{JudgedWorkflow, ledger::CountDelta},
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, Judging, Losses, Staging, classify::DiscardReason},
    },
    store::{
        CountedWorkflow, KnownWorkflow, LedgerState, SpanCounts, StoreError, Tx, WorkflowChanges,
        Writer,
    },
};

/// The rules by which the evidence of each SLO is judged; covers every SLO of the evidence.
pub type JudgingBySlo<'a> = &'a (dyn Fn(SloId) -> Judging + Sync);

/// A transaction that judges workflows, with the resulting differences of the counts, which must be
/// [written](Self::write_counts) in the same transaction.
///
/// Its errors are [`StoreError::is_conflict`] if another replica was first: the whole transaction
/// must then be repeated from the start.
#[expect(missing_debug_implementations, reason = "a closure has none")]
pub struct Recording<'a, 'c> {
    tx: &'a mut Tx<'c>,
    state: LedgerState,
    judging: JudgingBySlo<'a>,
    known_rows: KnownRows,
    delta: CountDelta,
    changes: WorkflowChanges,
    recorded: RecordedWorkflows,
}

/// A workflow that was judged again, with its row if it has one.
type Changed<'a> = (EventId, Option<&'a KnownWorkflow>, JudgedWorkflow);

/// Numbers of unusable evidence, by reason.
pub type Discarded = BTreeMap<(SloId, DiscardReason), i64>;

impl<'a, 'c> Recording<'a, 'c> {
    /// Begins to record. `tx` and `state` are those that
    /// [`Store::begin_recording`](crate::store::Store::begin_recording) returned.
    pub fn new(tx: &'a mut Tx<'c>, state: LedgerState, judging: JudgingBySlo<'a>) -> Self {
        Self {
            tx,
            state,
            judging,
            known_rows: KnownRows::Locked,
            delta: CountDelta::default(),
            changes: WorkflowChanges::default(),
            recorded: RecordedWorkflows::default(),
        }
    }

    /// Returns the same, which locks the known workflows that evidence comes for only if `known_rows`
    /// says so. A transaction that stores evidence of links must lock them: who rebuilds a workflow
    /// waits for all that has joined it, even where that has not changed it.
    #[must_use]
    pub fn with_known(self, known_rows: KnownRows) -> Self {
        Self { known_rows, ..self }
    }

    /// Writes the workflows, the differences of the counts, and the other counts of spans, at a time.
    pub async fn write_counts(
        self,
        writer: Writer,
        now: Timestamp,
        spans: &SpanCounts,
    ) -> Result<(), StoreError> {
        let Self {
            tx, delta, changes, ..
        } = self;
        tx.write_changes(writer, now, &delta, &changes, spans).await
    }

    /// Returns the rules for one workflow; those in `lost` may have had an end that was lost.
    fn judging_of(&self, id: &EventId, lost: &BTreeSet<EventId>) -> Judging {
        Judging {
            losses: if lost.contains(id) {
                Losses::Possible
            } else {
                Losses::NoneKnown
            },
            ..(self.judging)(id.0)
        }
    }

    /// Notes workflows with their groups. They are written with the counts, in one statement; earlier
    /// if [`write_rows`](Self::write_rows) says so.
    async fn note(&mut self, changed: &[Changed<'_>]) -> Result<(), StoreError> {
        let groups = self.groups_of(changed).await?;
        for ((id, row, judged), group) in changed.iter().zip(groups) {
            let counted = (judged, group);
            let rows = &mut self.changes.rows;
            match row {
                Some(row) => rows.updates.push_known(id, row, counted),
                None => rows.inserts.push(id, self.state.epoch, counted),
            }
            self.list(id, *row, Some(counted));
        }
        Ok(())
    }

    /// Writes the workflows that were noted, before something else reads them or takes locks that
    /// come after theirs.
    async fn write_rows(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.changes.rows);
        self.tx.write_workflows(&rows).await
    }

    /// Deletes known rows whose counts were subtracted.
    async fn delete(&mut self, rows: &[(EventId, &KnownWorkflow)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write_rows().await?;
        for (id, row) in rows {
            self.delta
                .regroup(row.group.map(|group| (group, &row.judged)), None);
            self.list(id, Some(row), None);
        }
        let rows: Vec<&KnownWorkflow> = rows.iter().map(|(_, row)| *row).collect();
        self.tx.delete_workflows(&rows).await
    }

    /// Adds a workflow's changes in the lists.
    fn list(
        &mut self,
        id: &EventId,
        row: Option<&KnownWorkflow>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        let epoch = row.map_or(self.state.epoch, |row| row.epoch);
        let before = row.map(KnownWorkflow::counted);
        let lists = &mut self.changes.lists;
        lists.push(id, epoch, before, after);
        if (self.judging)(id.0).staging == Staging::Staged {
            lists.push_staged(id, epoch, before, after);
        }
    }
}

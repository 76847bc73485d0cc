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

mod assign_groups;
mod counted;
mod known_locks;
mod link_updates;
mod place_links;
mod place_messages;
mod resolve_links;
mod stage_keeper;
mod timeouts;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

pub use counted::RecordedWorkflows;
pub use known_locks::{KnownLocks, KnownRows};
pub use link_updates::{LinkCheck, LinkUpdates};
pub use place_links::NewLinks;
pub use resolve_links::check_links;
pub use stage_keeper::{StageKeeper, WaitingStages};
pub use timeouts::JudgedDue;

use self::{
    counted::{add, span_counts},
    known_locks::repeat,
};
use crate::{
    clock::Clock,
    domain::{
        counting::{
            JudgedWorkflow,
            ledger::{CountDelta, apply_whole, joined, rejudge, silence_of},
        },
        model::{
            ids::{Revision, SloId},
            time::Timestamp,
        },
        workflow::{
            EventId, EvidenceByEvent, Judging, JudgingContext, Losses, Staging, Workflow,
            WorkflowNote,
            classify::{ClassifiedBatch, Classifier, DiscardReason},
            is_reuse, join,
            links::{GroupMember, GroupsOfBatches, note_several_groups},
            may_time_out,
        },
    },
    store::{
        CountedWorkflow, KnownWorkflow, LedgerState, SpanCounts, Store, StoreError, Tx,
        WorkflowChanges, Writer,
    },
};

/// A check that is due, and by what it judges.
type DueCheck = (LinkCheck, JudgingContext);

/// Commits evidence. Clones share what it needs.
#[derive(Clone, Debug)]
pub struct Committer {
    pub store: Store,
    pub writer: Writer,
    pub clock: Clock,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    pub watermark: watch::Receiver<Timestamp>,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
    pub stages: StageKeeper,
    pub locks: KnownLocks,
}

/// The evidence that is committed in one transaction.
#[derive(Debug)]
pub struct CommitPart<'a> {
    /// The classified requests without their evidence.
    pub findings: &'a [&'a ClassifiedBatch],
    pub evidence: EvidenceByEvent,
    /// The oldest revision by which any of it was classified.
    pub definitions: Revision,
}

/// The result of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Done(RecordedWorkflows),
    /// Nothing was written: some of the requests were classified by definitions older than this
    /// revision.
    Outdated(Revision),
}

impl Committer {
    /// Commits `part`, and starts again if another replica was first. Returns when what it says of
    /// links is compared with what others committed at the same time.
    pub async fn commit(&self, part: &CommitPart<'_>) -> Result<Commit, StoreError> {
        let mut known_rows = self.locks.next();
        let (committed, conflicts) = repeat(|conflicts| {
            if conflicts > 0 {
                known_rows = KnownRows::Locked;
                self.locks.note_conflict();
            }
            self.try_commit(part, known_rows)
        })
        .await?;
        let (mut recorded, check) = match committed {
            Ok(committed) => committed,
            Err(definitions) => return Ok(Commit::Outdated(definitions)),
        };
        recorded.conflicts = conflicts;
        if let Some((check, context)) = check {
            let classifier = Arc::clone(&self.classifier.borrow());
            let judging = |slo| classifier.judging(slo, &context);
            check_links(&self.store, self.writer, &judging, context.now, check).await?;
        }
        Ok(Commit::Done(recorded))
    }

    /// Returns what was recorded, and the check that is due; the definitions in force if they are
    /// newer than those of `part`.
    async fn try_commit(
        &self,
        part: &CommitPart<'_>,
        known_rows: KnownRows,
    ) -> Result<Result<(RecordedWorkflows, Option<DueCheck>), Revision>, StoreError> {
        let now = self.clock.now();
        let (mut tx, state) = self.store.begin_recording("record evidence").await?;
        if part.definitions < state.definitions {
            return Ok(Err(state.definitions));
        }
        let recorded = self.record((&mut tx, state), part, now, known_rows).await?;
        tx.commit().await?;
        Ok(Ok(recorded))
    }

    /// Returns what verdicts depend on besides evidence. How ends are sampled matters only where a
    /// workflow may time out; links may move evidence of any.
    async fn judging_context(
        &self,
        tx: &mut Tx<'_>,
        part: &CommitPart<'_>,
        new_links: &NewLinks<'_>,
        now: Timestamp,
    ) -> Result<JudgingContext, StoreError> {
        let watermark = *self.watermark.borrow();
        let needs_sampling = !new_links.is_empty() || may_time_out(&part.evidence, watermark);
        Ok(JudgingContext {
            now,
            watermark,
            catch_up: self.catch_up,
            observed: if needs_sampling {
                tx.end_observations(now).await?
            } else {
                BTreeMap::new()
            },
        })
    }

    /// Judges and counts the evidence, and stores the rest of what was found.
    async fn record(
        &self,
        (tx, state): (&mut Tx<'_>, LedgerState),
        part: &CommitPart<'_>,
        now: Timestamp,
        known_rows: KnownRows,
    ) -> Result<(RecordedWorkflows, Option<DueCheck>), StoreError> {
        let findings = part.findings;
        let new_links = NewLinks::of(findings);
        let context = self.judging_context(tx, part, &new_links, now).await?;
        let classifier = Arc::clone(&self.classifier.borrow());
        let judging = |slo| classifier.judging(slo, &context);
        let mut recording = Recording::new(tx, state, &judging);
        if new_links.is_empty() {
            recording = recording.with_known(known_rows);
        }
        let mut spans = SpanCounts {
            heard: self.stages.heard(&part.evidence),
            ..span_counts(findings)
        };
        let (mut evidence, mut check) = (Cow::Borrowed(&part.evidence), None);
        if !new_links.is_empty() {
            let updates = recording.record_links(&new_links).await?;
            join(evidence.to_mut(), updates.gathered);
            add(&mut spans.discarded, &updates.discarded);
            check = updates.check;
        }
        recording
            .apply(&evidence, &GroupsOfBatches::default())
            .await?;
        let pieces: Vec<_> = findings.iter().flat_map(|f| &f.pieces).collect();
        if !pieces.is_empty() {
            recording.write_rows().await?;
        }
        for (slo, missed) in recording.tx.add_stage_spans(now, &pieces).await? {
            let reason = (slo, DiscardReason::TooMuchStageEvidence);
            *spans.discarded.entry(reason).or_default() += missed;
        }
        let recorded = recording.recorded;
        recording.write_counts(self.writer, now, &spans).await?;
        Ok((recorded, check.map(|check| (check, context))))
    }
}

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
        // On the heap, or every transaction that records would be as large as this.
        Box::pin(tx.write_changes(writer, now, &delta, &changes, spans)).await
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
        Box::pin(self.tx.write_workflows(&rows)).await
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

impl Recording<'_, '_> {
    /// Merges `gathered` with the stored workflows and judges them again, and the groups of
    /// workflows that share batches.
    pub async fn apply(
        &mut self,
        gathered: &EvidenceByEvent,
        groups: &GroupsOfBatches,
    ) -> Result<(), StoreError> {
        let mut ids: BTreeSet<EventId> = groups.ids().collect();
        ids.extend(gathered.keys());
        if ids.is_empty() {
            return Ok(());
        }
        self.write_rows().await?;
        let judging = self.judging;
        let known = match self.known_rows {
            KnownRows::Locked => self.tx.lock_known(&ids).await?,
            KnownRows::Read => self.tx.read_known(&ids).await?,
        };
        let gone = self.purged(gathered, &known).await?;
        let whole = whole(gathered, groups, &known, &gone, judging);
        let silent = whole.iter().filter_map(|(id, workflow)| {
            let known = known.get(id).map(|row| &row.judged);
            Some((*id, silence_of(known, workflow, &judging(id.0))?))
        });
        let lost = self.tx.lost_among(&silent.collect()).await?;
        self.recorded.removed += gone.len();
        for (slo, _) in &gone {
            self.delta.note(*slo, WorkflowNote::TooLate);
        }
        let (mut changed, mut empty) = (Vec::new(), Vec::new());
        for (id, workflow) in whole {
            let row = known.get(&id);
            let before = row.map(|row| &row.judged);
            if !workflow.has_evidence() {
                empty.extend(row.map(|row| (id, row)));
                continue;
            }
            let new = gathered.get(&id);
            if before.is_some_and(|before| new.is_some_and(|new| is_reuse(&before.workflow, new))) {
                self.delta.note(id.0, WorkflowNote::Reused);
            }
            let judging = self.judging_of(&id, &lost);
            let Some(judged) = apply_whole(id.0, before, workflow, &judging, &mut self.delta)
            else {
                self.recorded.unchanged += 1;
                continue;
            };
            match row {
                // Only kept for the sample of attributes.
                Some(row) if row.judged.is_same_but_for_sample(&judged) => {
                    self.recorded.unchanged += 1;
                }
                Some(_) => self.recorded.changed += 1,
                None => self.recorded.new += 1,
            }
            if let Some(new) = new {
                self.delta.note_delay(id.0, before, new, &judging);
            }
            changed.push((id, row, judged));
        }
        self.note(&changed).await?;
        self.withdraw(&empty).await
    }

    /// Deletes rows that this transaction knows, and subtracts what they count.
    async fn withdraw(&mut self, rows: &[(EventId, &KnownWorkflow)]) -> Result<(), StoreError> {
        for ((slo, _), row) in rows {
            rejudge(
                *slo,
                &row.judged,
                None,
                &(self.judging)(*slo),
                &mut self.delta,
            );
        }
        self.delete(rows).await
    }

    /// Returns the workflows whose start was recorded earlier and has been purged.
    async fn purged(
        &mut self,
        gathered: &EvidenceByEvent,
        known: &BTreeMap<EventId, KnownWorkflow>,
    ) -> Result<BTreeSet<EventId>, StoreError> {
        let without_start = gathered
            .iter()
            .filter(|(id, workflow)| workflow.start.is_none() && !known.contains_key(id));
        let ids: Vec<EventId> = without_start.map(|(id, _)| *id).collect();
        self.tx.purged_among(&ids).await
    }
}

/// Returns each workflow that may have changed, with all its evidence so far.
fn whole(
    gathered: &EvidenceByEvent,
    groups: &GroupsOfBatches,
    known: &BTreeMap<EventId, KnownWorkflow>,
    gone: &BTreeSet<EventId>,
    judging: JudgingBySlo<'_>,
) -> EvidenceByEvent {
    let here = gathered.iter().filter(|(id, _)| !gone.contains(id));
    let mut whole: EvidenceByEvent = here
        .map(|(id, new)| {
            let workflow = joined(known.get(id).map(|row| &row.judged), new);
            (*id, workflow.since(judging(id.0).oldest_revision))
        })
        .collect();
    let find = |whole: &EvidenceByEvent, id: &EventId| {
        let row = known.get(id).map(|row| &row.judged.workflow);
        whole.get(id).or(row).cloned()
    };
    let mut shares = Vec::new();
    for (slo, group) in &groups.groups {
        let skew = judging(*slo).skew_tolerance;
        let members = group.workflow_keys.iter().map(|key| {
            let workflow = find(&whole, &(*slo, *key));
            (*key, GroupMember::new(workflow.as_ref(), skew))
        });
        let mut ends = group.judge(&members.collect());
        let values = ends.keys().filter_map(|key| {
            let workflow = find(&whole, &(*slo, *key))?;
            Some(workflow.details.group)
        });
        if values.collect::<BTreeSet<_>>().len() > 1 {
            note_several_groups(&mut ends);
        }
        shares.extend(ends.into_iter().map(|(key, end)| {
            // A workflow without any other evidence.
            let trace_id = group.trace_of(end);
            ((*slo, key), Some(end), trace_id)
        }));
    }
    shares.extend(groups.alone.iter().map(|id| (*id, None, None)));
    for (id, end, trace_id) in shares {
        let workflow = match (find(&whole, &id), trace_id) {
            (Some(workflow), Some(trace_id)) => Some(workflow.named_by_batch(trace_id)),
            (None, Some(trace_id)) => Some(Workflow::without_evidence(trace_id)),
            (workflow, None) => workflow,
        };
        if let Some(mut workflow) = workflow.filter(|_| !gone.contains(&id)) {
            workflow.details.shared = end;
            whole.insert(id, workflow);
        }
    }
    whole
}

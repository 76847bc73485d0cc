//! Workflow rows: joined with evidence, judged and counted, in one transaction.
//!
//! Writers never deadlock. Known rows are locked in the order of their keys; only then are new rows
//! inserted, again in that order. A writer that waits for a lock has inserted nothing yet, and one
//! that waits for another's insert waits for a greater key than any it has inserted. If another
//! replica has inserted the same key in between, the whole transaction is repeated from the start
//! and finds the row.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{INSERT, LOCK_DUE, LOCK_KNOWN, LockedWorkflow, UPDATE, WorkflowColumns, decode};
use crate::{
    domain::{
        counting::{
            JudgedWorkflow,
            ledger::{CountDelta, apply, apply_whole, joined, rejudge, silence, silence_of},
        },
        model::ids::SloId,
        workflow::{
            EventId, EvidenceByEvent, Judging, JudgingContext, Losses, Workflow, WorkflowNote,
            is_reuse,
            links::{GroupMember, GroupsOfBatches, note_several_groups},
        },
    },
    store::{
        StoreError, Tx, error::inconsistent, slos::groups::GroupedChange,
        workflows::epochs::EPOCH_LOCK,
    },
};

/// The rules by which the evidence of each SLO is judged; covers every SLO of the evidence.
pub type JudgingBySlo<'a> = &'a (dyn Fn(SloId) -> Judging + Sync);

impl Tx<'_> {
    /// Joins `gathered` with the stored workflows and judges them anew. The caller must write the
    /// returned differences of the counts in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::is_conflict`] if another replica was first: the whole transaction must then be
    /// repeated from the start.
    pub async fn record_workflows(
        &mut self,
        gathered: &EvidenceByEvent,
        judging: JudgingBySlo<'_>,
    ) -> Result<CountDelta, StoreError> {
        let mut moves = CountDelta::default();
        let no_groups = GroupsOfBatches::default();
        self.record_more(gathered, &no_groups, judging, &mut moves)
            .await?;
        Ok(moves)
    }

    /// Does the same as [`record_workflows`](Self::record_workflows), but adds to differences of
    /// the counts that exist already, and also judges groups of workflows that share batches.
    pub async fn record_more(
        &mut self,
        gathered: &EvidenceByEvent,
        groups: &GroupsOfBatches,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<(), StoreError> {
        let mut ids: BTreeSet<EventId> = groups.ids().collect();
        ids.extend(gathered.keys());
        if ids.is_empty() {
            return Ok(());
        }
        let epoch = self.current_epoch().await?;
        let known = self.lock_known(&ids).await?;
        let gone = self.forgotten(gathered, &known).await?;
        let whole = whole(gathered, groups, &known, &gone, judging);
        let silent = whole.iter().filter_map(|(id, workflow)| {
            let known = known.get(id).map(|row| &row.judged);
            Some((*id, silence_of(known, workflow, &judging(id.0))?))
        });
        let lost = self.lost_among(&silent.collect()).await?;
        for (slo, _) in &gone {
            moves.note(*slo, WorkflowNote::TooLate);
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
                moves.note(id.0, WorkflowNote::Reused);
            }
            let judging = judging_of(&id, judging, &lost);
            let Some(judged) = apply_whole(id.0, before, workflow, &judging, moves) else {
                continue;
            };
            if let Some(new) = new {
                moves.note_delay(id.0, before, new, &judging);
            }
            changed.push((id, row, judged));
        }
        let groups = self.groups_of(&changed, moves).await?;
        let (mut inserts, mut updates) = (WorkflowColumns::default(), WorkflowColumns::default());
        for ((id, row, judged), group) in changed.iter().zip(groups) {
            match row {
                Some(row) => updates.push_known(id, row, (judged, group)),
                None => inserts.push(id, epoch, (judged, group)),
            }
        }
        self.insert(&inserts).await?;
        self.update(&updates).await?;
        self.withdraw(&empty, judging, moves).await
    }

    /// Deletes rows that this transaction has locked, and subtracts what they count.
    async fn withdraw(
        &mut self,
        rows: &[(EventId, &LockedWorkflow)],
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<(), StoreError> {
        for ((slo, _), row) in rows {
            rejudge(*slo, &row.judged, None, &judging(*slo), moves);
            moves.regroup(row.group.map(|group| (group, &row.judged)), None);
        }
        let rows: Vec<&LockedWorkflow> = rows.iter().map(|(_, row)| *row).collect();
        self.delete(&rows).await
    }

    /// Returns the workflows whose start was recorded earlier and has been purged.
    async fn forgotten(
        &mut self,
        gathered: &EvidenceByEvent,
        known: &BTreeMap<EventId, LockedWorkflow>,
    ) -> Result<BTreeSet<EventId>, StoreError> {
        let without_start = gathered
            .iter()
            .filter(|(id, workflow)| workflow.start.is_none() && !known.contains_key(id));
        let ids: Vec<EventId> = without_start.map(|(id, _)| *id).collect();
        self.purged_among(&ids).await
    }

    /// Judges at most `limit` workflows that are due without new evidence. Replicas share the work:
    /// each skips what another has locked. Returns how many were examined.
    pub async fn judge_due(
        &mut self,
        context: &JudgingContext,
        limit: i64,
        judging: JudgingBySlo<'_>,
    ) -> Result<(usize, CountDelta), StoreError> {
        self.share_epoch().await?;
        let (behind, up_to): (Vec<i32>, Vec<DateTime<Utc>>) = context
            .behind()
            .map(|(slo, up_to)| (slo.0, up_to.to_chrono()))
            .unzip();
        let rows = sqlx::query(LOCK_DUE)
            .bind(context.watermark.to_chrono())
            .bind(limit)
            .bind(behind)
            .bind(up_to)
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        let known: Vec<(EventId, LockedWorkflow)> = rows
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))?;
        self.judge_again(&known, judging).await
    }

    /// Judges rows that this transaction has locked, by their stored evidence. Returns how many
    /// there are.
    pub(crate) async fn judge_again(
        &mut self,
        known: &[(EventId, LockedWorkflow)],
        judging: JudgingBySlo<'_>,
    ) -> Result<(usize, CountDelta), StoreError> {
        let silent = known.iter().filter_map(|(id, known)| {
            let workflow = &known.judged.workflow;
            Some((*id, silence(Some(&known.judged), workflow, &judging(id.0))?))
        });
        let lost = self.lost_among(&silent.collect()).await?;
        let (mut moves, mut changed) = (CountDelta::default(), Vec::new());
        for (id, known) in known {
            let workflow = known.judged.workflow.clone();
            let judging = judging_of(id, judging, &lost);
            if let Some(judged) = apply(id.0, Some(&known.judged), &workflow, &judging, &mut moves)
            {
                changed.push((*id, Some(known), judged));
            }
        }
        let groups = self.groups_of(&changed, &mut moves).await?;
        let mut updates = WorkflowColumns::default();
        for ((id, known, judged), group) in changed.iter().zip(groups) {
            if let Some(known) = known {
                updates.push_known(id, known, (judged, group));
            }
        }
        self.update(&updates).await?;
        Ok((known.len(), moves))
    }

    pub(crate) async fn groups_of(
        &mut self,
        changed: &[(EventId, Option<&LockedWorkflow>, JudgedWorkflow)],
        moves: &mut CountDelta,
    ) -> Result<Vec<Option<SloId>>, StoreError> {
        let asked: Vec<GroupedChange<'_>> = changed
            .iter()
            .map(|(id, known, judged)| GroupedChange {
                slo: id.0,
                group: known.and_then(|known| known.group),
                before: known.map(|known| &known.judged),
                after: judged,
            })
            .collect();
        self.assign_groups(&asked, moves).await
    }

    /// Takes the shared lock of transactions that judge workflows, for which others may wait. Must
    /// come before any row is locked.
    pub(crate) async fn share_epoch(&mut self) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- epoch.share\nselect pg_advisory_xact_lock_shared($1)").bind(EPOCH_LOCK);
        self.execute(statement).await.map(drop)
    }

    /// Returns the partition that rows are inserted into. Blocks the opening of another one until
    /// the end of the transaction.
    pub(crate) async fn current_epoch(&mut self) -> Result<i32, StoreError> {
        // The transaction touches few rows of many: a plan that scans a partition is always wrong
        // here, but the planner cannot know this while statistics are missing. The time-out is as
        // long as a commit may take: after it no one waits for the result, and the statement would
        // only hold its locks.
        let statement = sqlx::query(concat!(
            "-- epoch.hold\n",
            "select pg_advisory_xact_lock_shared($1), ",
            "set_config('enable_seqscan', 'off', true), ",
            "set_config('enable_hashjoin', 'off', true), ",
            "set_config('enable_mergejoin', 'off', true), ",
            "set_config('statement_timeout', '10s', true)",
        ))
        .bind(EPOCH_LOCK);
        self.execute(statement).await?;
        sqlx::query_scalar("-- epoch.current\nselect max(epoch) from epochs")
            .fetch_one(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))
    }

    pub(crate) async fn lock_known(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, LockedWorkflow>, StoreError> {
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = ids
            .iter()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let rows = sqlx::query(LOCK_KNOWN)
            .bind(slos)
            .bind(keys)
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Inserts rows. Fails with a conflict if another replica has inserted one of them in the
    /// meantime.
    ///
    /// Uses one statement, not COPY: if a writer vanishes in the middle of a COPY, the server
    /// regards it as active, not idle, so no time-out releases its keys.
    async fn insert(&mut self, rows: &WorkflowColumns) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.execute(rows.bind(INSERT)).await?;
        Ok(())
    }

    /// Updates rows that this transaction has locked. They are addressed by `ctid`, which avoids
    /// the index.
    pub(crate) async fn update(&mut self, rows: &WorkflowColumns) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let statement = rows.bind(UPDATE).bind(&rows.places);
        let updated = self.execute(statement).await?;
        // The counts that follow cover every row, so a missing row would make the counts wrong.
        if updated != rows.len() as u64 {
            return Err(self.failed(inconsistent("the row of a locked workflow was not found")));
        }
        Ok(())
    }
}

/// Returns each workflow that may have changed, with all its evidence so far.
fn whole(
    gathered: &EvidenceByEvent,
    groups: &GroupsOfBatches,
    known: &BTreeMap<EventId, LockedWorkflow>,
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

/// Returns the rules for one workflow; those in `lost` may have had an end that was lost.
pub(crate) fn judging_of(
    id: &EventId,
    judging: JudgingBySlo<'_>,
    lost: &BTreeSet<EventId>,
) -> Judging {
    Judging {
        losses: if lost.contains(id) {
            Losses::Possible
        } else {
            Losses::NoneKnown
        },
        ..judging(id.0)
    }
}

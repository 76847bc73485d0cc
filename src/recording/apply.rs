//! Merges new evidence into workflows, judges them and counts them.

use std::collections::{BTreeMap, BTreeSet};

use super::{JudgingBySlo, KnownRows, Recording};
use crate::{
    domain::{
        counting::ledger::{apply_whole, joined, rejudge, silence_of},
        workflow::{
            EventId, EvidenceByEvent, Workflow, WorkflowNote, is_reuse,
            links::{GroupMember, GroupsOfBatches, note_several_groups},
        },
    },
    store::{KnownWorkflow, StoreError},
};

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

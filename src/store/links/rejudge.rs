//! Workflows that lost evidence to another workflow, judged anew by what remains.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::{span, span_id};
use crate::{
    domain::{
        counting::ledger::{CountDelta, rejudge, silence_of},
        model::ids::SloId,
        workflow::{EventId, EventKey, EvidenceByEvent, Workflow, join, links::evidence_of},
    },
    store::{
        StoreError, Tx,
        error::inconsistent,
        workflows::{
            join::{JudgingBySlo, judging_of},
            rows::{LockedWorkflow, WorkflowColumns},
        },
    },
};

impl Tx<'_> {
    /// Rebuilds the workflows that evidence has left from the evidence that remains; `None` where
    /// none does.
    pub(crate) async fn what_is_left(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, Option<Workflow>>, StoreError> {
        let mut left: BTreeMap<EventId, Option<Workflow>> = BTreeMap::new();
        let (mut slos, mut keys) = (Vec::new(), Vec::new());
        for (slo, key) in ids {
            left.insert((*slo, *key), None);
            slos.push(slo.0);
            keys.push(Uuid::from_bytes(key.0));
        }
        if left.is_empty() {
            return Ok(left);
        }
        let rows = sqlx::query(concat!(
            "-- link_evidence.remaining\n",
            "select e.slo_id, l.key, e.trace_id, e.span_id, e.evidence, ",
            "e.sent_by[array_position(e.workflow_keys, l.key)] as sent_by ",
            "from unnest($1::integer[], $2::uuid[]) as l(slo_id, key) ",
            "join link_evidence e on e.workflow_keys @> array[l.key] and e.slo_id = l.slo_id ",
            "where not e.is_batch",
        ))
        .bind(slos)
        .bind(keys)
        .fetch_all(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let mut remaining = EvidenceByEvent::new();
        for row in &rows {
            let evidence = decode_remaining(row).map_err(|source| self.failed(source))?;
            join(&mut remaining, [evidence]);
        }
        for (id, workflow) in remaining {
            left.insert(id, Some(workflow));
        }
        Ok(left)
    }

    /// Judges these workflows anew. Returns those that have no row and must be recorded as new.
    pub(crate) async fn rejudge_left(
        &mut self,
        left: BTreeMap<EventId, Option<Workflow>>,
        judging: JudgingBySlo<'_>,
        moves: &mut CountDelta,
    ) -> Result<EvidenceByEvent, StoreError> {
        let mut without_row = EvidenceByEvent::new();
        if left.is_empty() {
            return Ok(without_row);
        }
        let known = self.lock_known(&left.keys().copied().collect()).await?;
        let silent = left.iter().filter_map(|(id, workflow)| {
            let known = &known.get(id)?.judged;
            let range = silence_of(Some(known), workflow.as_ref()?, &judging(id.0))?;
            Some((*id, range))
        });
        let lost = self.lost_among(&silent.collect()).await?;
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for (id, workflow) in left {
            match (known.get(&id), workflow) {
                (Some(row), workflow) => {
                    let judging = judging_of(&id, judging, &lost);
                    let judged = rejudge(id.0, &row.judged, workflow.as_ref(), &judging, moves);
                    match judged {
                        Some(judged) => changed.push((id, Some(row), judged)),
                        None => gone.push(row),
                    }
                }
                (None, Some(workflow)) => {
                    without_row.insert(id, workflow);
                }
                (None, None) => {}
            }
        }
        let groups = self.groups_of(&changed, moves).await?;
        let mut updates = WorkflowColumns::default();
        for ((id, row, judged), group) in changed.iter().zip(groups) {
            if let Some(row) = row {
                updates.push_known(id, row, (judged, group));
            }
        }
        self.update(&updates).await?;
        for row in &gone {
            moves.regroup(row.group.map(|group| (group, &row.judged)), None);
        }
        self.delete(&gone).await?;
        Ok(without_row)
    }

    /// Deletes rows that this transaction has locked.
    pub(crate) async fn delete(&mut self, rows: &[&LockedWorkflow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let epochs: Vec<i32> = rows.iter().map(|row| row.epoch).collect();
        let places: Vec<&str> = rows.iter().map(|row| row.place.as_str()).collect();
        let statement = sqlx::query(concat!(
            "-- workflow.delete\n",
            "delete from workflows w using unnest($1::integer[], $2::text[]) as n(epoch, place) ",
            "where w.ctid = n.place::tid and w.epoch = n.epoch",
        ))
        .bind(epochs)
        .bind(places);
        let deleted = self.execute(statement).await?;
        // Their counts have already been subtracted, so a missing row would make the counts wrong.
        if deleted != rows.len() as u64 {
            return Err(self.failed(inconsistent("the row of a locked workflow was not found")));
        }
        Ok(())
    }
}

/// Reads the evidence of one span for a workflow that other evidence has left.
fn decode_remaining(row: &sqlx::postgres::PgRow) -> Result<(EventId, Workflow), sqlx::Error> {
    let key = EventKey(row.try_get::<Uuid, _>("key")?.into_bytes());
    let Json(evidence) = row.try_get::<Json<Workflow>, _>("evidence")?;
    let of = span(row, ["trace_id", "span_id"])?;
    let id = (SloId(row.try_get("slo_id")?), key);
    let sent_by = row.try_get::<Option<i64>, _>("sent_by")?.map(span_id);
    let evidence = evidence_of(of, &evidence, key, sent_by.transpose()?);
    Ok((id, evidence.into_owned()))
}

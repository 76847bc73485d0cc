//! The evidence that remains of workflows when other evidence has left them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::edges::{span, span_id};
use crate::{
    domain::{
        model::ids::SloId,
        workflow::{EventId, EventKey, EvidenceByEvent, Workflow, join, links::evidence_of},
    },
    store::{StoreError, Tx},
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
        .fetch_all(&mut self.inner)
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

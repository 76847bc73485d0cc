//! The workflows whose stage evidence is stored: those that are open or not yet aggregated, and the
//! new ones that replicas notify each other of.

use std::collections::BTreeSet;

use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    domain::{
        model::ids::{SloId, TraceId},
        workflow::{EventId, EventKey, watermark::ReplicaId},
    },
    store::{StoreError, Tx, batch::Batch, trace_ids::trace_id},
};

/// Workflows that a replica has recorded in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardWorkflows {
    pub replica: ReplicaId,
    /// As [`StageKey::handle`](crate::domain::workflow::stage_evidence::StageKey::handle) returns
    /// them.
    pub handles: Vec<u64>,
}

impl Batch {
    /// Notifies other replicas of `heard`.
    pub(crate) fn add_heard_workflows(&mut self, heard: Option<&HeardWorkflows>) {
        let Some(heard) = heard.filter(|heard| !heard.handles.is_empty()) else {
            return;
        };
        let bytes = heard.handles.iter().flat_map(|handle| handle.to_be_bytes());
        self.add("insert into heard_workflows (replica_id, handles) values ($1, $2)")
            .bind(heard.replica.0)
            .bind(bytes.collect::<Vec<u8>>());
    }
}

impl Tx<'_> {
    /// Returns whether other replicas receive spans.
    pub async fn are_others_receiving(&mut self, replica: ReplicaId) -> Result<bool, StoreError> {
        let query = sqlx::query_as(
            "-- heard_workflows.are_others
             select exists (select 1 from replicas where id <> $1)",
        );
        let (are_there,) = self.fetch_one(query.bind(replica.0)).await?;
        Ok(are_there)
    }

    /// Returns the handles that other replicas have written recently, by the number of their row,
    /// except the rows `seen`. Also deletes rows that every replica has seen.
    pub async fn heard_by_others(
        &mut self,
        replica: ReplicaId,
        seen: &BTreeSet<i64>,
    ) -> Result<Vec<(i64, Vec<u64>)>, StoreError> {
        // A row becomes visible up to as long after its time as a commit may take.
        let query = sqlx::query_as(
            "-- heard_workflows.read
             select id, handles from heard_workflows
             where replica_id <> $1 and id <> all ($2)
                 and heard_at >= clock_timestamp() - interval '30 seconds'",
        )
        .bind(replica.0)
        .bind(seen.iter().copied().collect::<Vec<i64>>());
        let rows: Vec<(i64, Vec<u8>)> = self.fetch_all(query).await?;
        let statement = sqlx::query(
            "-- heard_workflows.forget
             delete from heard_workflows where heard_at < clock_timestamp() - interval '1 minute'",
        );
        self.execute(statement).await?;
        let handles = |bytes: Vec<u8>| {
            let (all, _) = bytes.as_chunks();
            all.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect()
        };
        Ok(rows
            .into_iter()
            .map(|(id, all)| (id, handles(all)))
            .collect())
    }

    /// Returns the workflows of `slos` whose stages are still to be added up, each with the trace in
    /// which it began.
    pub async fn workflows_with_open_stages(
        &mut self,
        slos: &[SloId],
    ) -> Result<Vec<(EventId, TraceId)>, StoreError> {
        let rows = sqlx::query(
            "-- heard_workflows.load
             with listed as (
                 select slo_id, epoch, keys, true as is_open from deadlines
                 union all
                 select slo_id, epoch, keys, false from stage_queue)
             select w.slo_id, w.key, w.trace_id
             from listed l cross join lateral unnest(l.keys) as k (key)
             join workflows w on w.epoch = l.epoch and w.slo_id = l.slo_id and w.key = k.key
             where l.slo_id = any ($1) and (w.outcome = 0 or not l.is_open)",
        )
        .bind(slos.iter().map(|slo| slo.0).collect::<Vec<i32>>())
        .fetch_all(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        let decode = |row: &sqlx::postgres::PgRow| -> Result<(EventId, TraceId), sqlx::Error> {
            let key = EventKey(row.try_get::<Uuid, _>("key")?.into_bytes());
            let id = (SloId(row.try_get("slo_id")?), key);
            Ok((id, trace_id(row.try_get("trace_id")?)?))
        };
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }
}

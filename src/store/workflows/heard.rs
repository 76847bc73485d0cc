//! The workflows whose stage evidence is stored: those that are open or not yet aggregated, and the
//! new ones that replicas notify each other of.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        model::ids::{SloId, TraceId},
        workflow::{
            EventId, EventKey,
            stage_buffer::{Keeping, KeptStages, KnownHandles},
            watermark::ReplicaId,
        },
    },
    store::{StoreError, Tx, batch::Batch, trace_ids::trace_id},
};

/// Workflows that a replica has recorded in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardWorkflows {
    pub replica: ReplicaId,
    pub handles: KnownHandles,
}

/// Written by no replica, so all read it.
const BY_NONE: ReplicaId = ReplicaId(-1);
/// The bytes of a workflow: its handle, its SLO and what is done with its evidence.
const BYTES: usize = 13;

/// The place up to which the workflows with open stages were read: the number of a row, of those
/// that were open or of those that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStagesCursor {
    Open(i64),
    Ended(i64),
}

impl OpenStagesCursor {
    pub const START: Self = Self::Open(0);
}

/// What one part takes at most, so that no statement is long: rows, and bytes of keys (20,000
/// workflows).
const PART_ROWS: i64 = 1_000;
const PART_BYTES: i64 = 320_000;

impl Batch {
    /// Notifies other replicas of `heard`.
    pub(crate) fn add_heard_workflows(&mut self, heard: Option<&HeardWorkflows>) {
        let Some(heard) = heard.filter(|heard| !heard.handles.is_empty()) else {
            return;
        };
        self.add("insert into heard_workflows (replica_id, handles) values ($1, $2)")
            .bind(heard.replica.0)
            .bind(encoded(&heard.handles));
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

    /// Asks all replicas to store the evidence of these workflows.
    pub async fn ask_for_stages(&mut self, handles: &KnownHandles) -> Result<(), StoreError> {
        if handles.is_empty() {
            return Ok(());
        }
        let statement = sqlx::query(
            "-- heard_workflows.ask
             insert into heard_workflows (replica_id, handles) values ($1, $2)",
        )
        .bind(BY_NONE.0)
        .bind(encoded(handles));
        self.execute(statement).await.map(drop)
    }

    /// Returns the workflows that other replicas have written recently, by the number of their row,
    /// except the rows `seen`. Also deletes rows that every replica has seen.
    pub async fn heard_by_others(
        &mut self,
        replica: ReplicaId,
        seen: &BTreeSet<i64>,
    ) -> Result<Vec<(i64, KnownHandles)>, StoreError> {
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
        let rows = rows.into_iter();
        Ok(rows.map(|(id, bytes)| (id, decoded(&bytes))).collect())
    }

    /// Returns a part of the workflows of `slos` whose stages are still to be added up, each with the
    /// trace in which it began, and where the next part begins; `None` if this was the last.
    pub async fn workflows_with_open_stages(
        &mut self,
        slos: &[SloId],
        from: OpenStagesCursor,
    ) -> Result<(Vec<(EventId, TraceId)>, Option<OpenStagesCursor>), StoreError> {
        let (is_open, after) = match from {
            OpenStagesCursor::Open(after) => (true, after),
            OpenStagesCursor::Ended(after) => (false, after),
        };
        let rows: Vec<(i64, i32, Vec<Uuid>, Vec<Uuid>)> = self
            .fetch_all(
                sqlx::query_as(
                    "-- heard_workflows.load
                     with listed as (
                         (select id, slo_id, epoch, keys from deadlines
                             where $2 and id > $3 order by id limit $4)
                         union all
                         (select id, slo_id, epoch, keys from stage_queue
                             where not $2 and id > $3 order by id limit $4)),
                     part as (
                         select * from (select *, sum(pg_column_size(keys)) over (order by id)
                             - pg_column_size(keys) as bytes_before from listed) as summed
                         where bytes_before < $5)
                     select p.id, p.slo_id, coalesce(found.keys, '{}'), coalesce(found.traces, '{}')
                     from part p cross join lateral (
                         select array_agg(w.key) as keys, array_agg(w.trace_id) as traces
                         from unnest(p.keys) as k (key)
                         join workflows w
                             on w.epoch = p.epoch and w.slo_id = p.slo_id and w.key = k.key
                         where p.slo_id = any ($1) and (w.outcome = 0 or not $2)) as found
                     order by p.id",
                )
                .bind(slos.iter().map(|slo| slo.0).collect::<Vec<i32>>())
                .bind(is_open)
                .bind(after)
                .bind(PART_ROWS)
                .bind(PART_BYTES),
            )
            .await?;
        let next = match rows.last() {
            Some((id, ..)) if is_open => Some(OpenStagesCursor::Open(*id)),
            Some((id, ..)) => Some(OpenStagesCursor::Ended(*id)),
            // A workflow that ends meanwhile is in the second list before it is gone from the first.
            None => is_open.then_some(OpenStagesCursor::Ended(0)),
        };
        let mut workflows = Vec::new();
        for (_, slo, keys, traces) in rows {
            for (key, trace) in keys.into_iter().zip(traces) {
                let trace = trace_id(trace).map_err(|source| self.failed(source))?;
                workflows.push(((SloId(slo), EventKey(key.into_bytes())), trace));
            }
        }
        Ok((workflows, next))
    }
}

fn encoded(handles: &KnownHandles) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(handles.len() * BYTES);
    for (handle, kept) in handles {
        bytes.extend(handle.to_be_bytes());
        bytes.extend(kept.slo.0.to_be_bytes());
        bytes.push(kept.keeping.as_code());
    }
    bytes
}

/// Leaves out what another version has written.
fn decoded(bytes: &[u8]) -> KnownHandles {
    let (all, _) = bytes.as_chunks::<BYTES>();
    let one = |[handle @ .., a, b, c, d, code]: &[u8; BYTES]| {
        let kept = KeptStages {
            slo: SloId(i32::from_be_bytes([*a, *b, *c, *d])),
            keeping: Keeping::from_code(*code)?,
        };
        Some((u64::from_be_bytes(*handle), kept))
    };
    all.iter().filter_map(one).collect()
}

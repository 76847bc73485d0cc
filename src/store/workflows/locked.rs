//! Rows of workflows that a transaction has locked or read, or inserts.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use super::{
    losses::Loss,
    rows::{
        ChangedRows, KnownWorkflow, LOCK_DUE, LOCK_KNOWN, LOCK_TIMEOUTS, LOCK_TIMEOUTS_AFTER,
        READ_KNOWN, decode,
    },
};
use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, EventKey},
    },
    store::{StoreError, Tx, batch::Batch},
};

/// Workflows by column: SLO, partition, key.
pub(crate) type WorkflowIds<'a> = (&'a [i32], &'a [i32], &'a [Uuid]);

type LockedRows = Vec<(EventId, KnownWorkflow)>;

impl Tx<'_> {
    /// Locks those of `workflows` that are open, and due at `watermark`. None of them is there twice.
    pub(crate) async fn lock_due(
        &mut self,
        (slos, epochs, keys): WorkflowIds<'_>,
        watermark: Timestamp,
    ) -> Result<LockedRows, StoreError> {
        let query = sqlx::query(LOCK_DUE)
            .bind(slos)
            .bind(epochs)
            .bind(keys)
            .bind(watermark);
        self.locked(query).await
    }

    /// Locks at most `limit` timeouts that were open in the minute of `loss`.
    pub(crate) async fn lock_timeouts(
        &mut self,
        (slo, minute): Loss,
        limit: i64,
    ) -> Result<LockedRows, StoreError> {
        let query = sqlx::query(LOCK_TIMEOUTS)
            .bind(slo.0)
            .bind(minute.to_chrono())
            .bind(limit);
        self.locked(query).await
    }

    /// Locks at most `limit` workflows of `slo` whose end is missing, those with a key above
    /// `after`.
    pub(crate) async fn lock_timeouts_after(
        &mut self,
        slo: SloId,
        after: Option<EventKey>,
        limit: i64,
    ) -> Result<LockedRows, StoreError> {
        let query = sqlx::query(LOCK_TIMEOUTS_AFTER)
            .bind(slo.0)
            .bind(after.map(|key| Uuid::from_bytes(key.0)))
            .bind(limit);
        self.locked(query).await
    }

    async fn locked(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<LockedRows, StoreError> {
        let rows = query.fetch_all(&mut self.inner).await;
        let rows = rows.map_err(|source| self.failed(source))?;
        rows.iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Locks the workflows with these ids that exist.
    pub(crate) async fn lock_known(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        self.known(LOCK_KNOWN, ids).await
    }

    /// Reads the workflows with these ids that exist, and locks none: if one of them changes
    /// meanwhile, its update fails with a conflict.
    pub(crate) async fn read_known(
        &mut self,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        self.known(READ_KNOWN, ids).await
    }

    async fn known(
        &mut self,
        statement: &'static str,
        ids: &BTreeSet<EventId>,
    ) -> Result<BTreeMap<EventId, KnownWorkflow>, StoreError> {
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = ids
            .iter()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let query = sqlx::query(statement).bind(slos).bind(keys);
        Ok(self.locked(query).await?.into_iter().collect())
    }

    /// Writes rows before anything else that the transaction does.
    pub(crate) async fn write_workflows(&mut self, rows: &ChangedRows) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.add_rows(rows);
        self.run_batch("workflow.write", batch).await
    }

    /// Deletes rows that this transaction has locked or read. Fails with a conflict if one has
    /// changed since it was read.
    pub(crate) async fn delete_workflows(
        &mut self,
        rows: &[&KnownWorkflow],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let epochs: Vec<i32> = rows.iter().map(|row| row.epoch).collect();
        let places: Vec<&str> = rows.iter().map(|row| row.place.as_str()).collect();
        let versions: Vec<&str> = rows.iter().map(|row| row.version.as_str()).collect();
        let statement = sqlx::query(concat!(
            "-- workflow.delete\n",
            "delete from workflows w using unnest($1::integer[], $2::text[], $3::text[]) ",
            "as n(epoch, place, version) where w.ctid = n.place::tid ",
            "and w.xmin = n.version::xid and w.epoch = n.epoch",
        ))
        .bind(epochs)
        .bind(places)
        .bind(versions);
        let deleted = self.execute(statement).await?;
        // Their counts have already been subtracted, so a missing row would make the counts wrong.
        if deleted != rows.len() as u64 {
            return Err(self.conflict());
        }
        Ok(())
    }
}

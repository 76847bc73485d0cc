//! Workflows that are judged again without new evidence, locked.

use uuid::Uuid;

use super::{
    losses::Loss,
    rows::{LOCK_DUE, LOCK_TIMEOUTS, LOCK_TIMEOUTS_AFTER, LockedRows},
};
use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::EventKey,
    },
    store::{StoreError, Tx},
};

/// Workflows by column: SLO, partition, key.
pub(crate) type WorkflowIds<'a> = (&'a [i32], &'a [i32], &'a [Uuid]);

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
}

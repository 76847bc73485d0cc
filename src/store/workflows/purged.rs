//! Keys of purged workflows, kept while an end of them may still arrive.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::{EventId, EventKey, Outcome},
    },
    store::{StoreError, Tx},
};

/// Workflows that succeeded are not kept: what arrives of them later is a redelivery.
const WITHOUT_SUCCESS: [Outcome; 7] = [
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Cancelled,
    Outcome::Unobservable,
    Outcome::EvidenceLost,
    Outcome::Unwatched,
    Outcome::Ambiguous,
];

impl Tx<'_> {
    /// Keeps the keys of the workflows of `epoch` that may still end, before it is dropped, and deletes
    /// those that were kept for longer than `keep`.
    pub(crate) async fn remember_epoch(
        &mut self,
        epoch: i32,
        now: Timestamp,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- purged_workflows.delete_old\ndelete from purged_workflows where purged_at < $1",
        )
        .bind((now - keep).to_chrono());
        self.execute(statement).await?;
        let statement = sqlx::query(concat!(
            "-- purged_workflows.add\n",
            "insert into purged_workflows (slo_id, key, purged_at) ",
            "select slo_id, key, $2 from workflows where epoch = $1 and outcome = any ($3) ",
            "and started_at is not null on conflict do nothing",
        ))
        .bind(epoch)
        .bind(now.to_chrono())
        .bind(WITHOUT_SUCCESS.map(Outcome::as_code).to_vec());
        self.execute(statement).await.map(drop)
    }

    /// Which of these were dropped.
    pub(crate) async fn purged_among(
        &mut self,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (slos, keys): (Vec<i32>, Vec<Uuid>) = ids
            .iter()
            .map(|(slo, key)| (slo.0, Uuid::from_bytes(key.0)))
            .unzip();
        let query = sqlx::query_as(concat!(
            "-- purged_workflows.among\n",
            "select f.slo_id, f.key from unnest($1::integer[], $2::uuid[]) as n(slo_id, key) ",
            "join purged_workflows f on f.slo_id = n.slo_id and f.key = n.key",
        ))
        .bind(slos)
        .bind(keys);
        let rows: Vec<(i32, Uuid)> = self.fetch_all(query).await?;
        let id = |(slo, key): (i32, Uuid)| (SloId(slo), EventKey(key.into_bytes()));
        Ok(rows.into_iter().map(id).collect())
    }
}

//! The search table, written from the queue.

use std::time::Duration;

use crate::{
    domain::model::time::Timestamp,
    store::{StoreError, Tx},
};

/// Rows of the queue that one transaction takes: each has the workflows of one transaction.
const BATCH: i64 = 64;
/// Bytes of keys after which it takes no more rows: those of 10,000 workflows, about 0.2 s.
const BATCH_BYTES: i64 = 160_000;
/// 2020-01-01, from which seconds are counted, so that four bytes last until 2088.
pub(super) const ZERO_SECOND: i64 = 1_577_836_800;

impl Tx<'_> {
    /// Moves some workflows from the queue to the search table. Replicas share the work: each skips
    /// what another has locked. Returns how many rows of the queue were taken.
    ///
    /// Names that the id of the trace already gives, and those of single spans, are left out.
    pub async fn index_queued(&mut self) -> Result<u64, StoreError> {
        let query = sqlx::query_as(
            "-- workflow_search.index
             with taken as (
                 delete from search_queue where id in (
                     select id from (
                         select id, sum(pg_column_size(keys)) over (order by id)
                             - pg_column_size(keys) as bytes_before
                         from (select id, keys from search_queue order by id limit $1
                             for update skip locked) as locked) as summed
                     where bytes_before < $3)
                 returning epochs, slo_ids, keys),
             indexed as (
                 insert into workflow_search
                     (key, slo_id, started_second, trace_prefix, customer_hash, epoch, label)
                 select w.key, w.slo_id,
                     floor(extract(epoch from coalesce(w.started_at, w.first_evidence_at)) - $2),
                     ('x' || left(w.trace_id::text, 8))::bit(32)::integer,
                     ('x' || left(encode(sha256(convert_to(w.customer, 'UTF8')), 'hex'), 8))
                         ::bit(32)::integer, w.epoch,
                     case when w.label <> replace(w.trace_id::text, '-', '')
                         and (w.within_us is not null or w.started_at is null) then ltrim(w.label, E' \\t\\n\\r') end
                 from taken cross join lateral unnest(epochs, slo_ids, keys) as k (epoch, slo_id, key)
                 join workflows w on w.epoch = k.epoch and w.slo_id = k.slo_id and w.key = k.key)
             select count(*) from taken",
        )
        .bind(BATCH)
        .bind(ZERO_SECOND)
        .bind(BATCH_BYTES);
        let (taken,): (i64,) = self.fetch_one(query).await?;
        Ok(taken.unsigned_abs())
    }

    /// Returns for how long the oldest workflow of the queue has been waiting.
    pub async fn search_lag(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        let query = sqlx::query_as(
            "-- search_queue.oldest
             select queued_at from search_queue order by id limit 1",
        );
        let oldest: Option<(chrono::DateTime<chrono::Utc>,)> = self.fetch_optional(query).await?;
        Ok(oldest.map_or(Duration::ZERO, |(at,)| now.saturating_since(at.into())))
    }
}

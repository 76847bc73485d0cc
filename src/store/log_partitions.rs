//! The progress of reading the partitions of a Kafka topic.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        health::LogSign,
        model::time::Timestamp,
        workflow::watermark::log::{BrokerClock, LogLoss},
    },
    store::{StoreError, Tx},
};

/// A topic that no replica was configured to read for this long is ignored.
const IGNORED_AFTER: Duration = Duration::from_hours(24);
/// Longer than topics usually keep messages: until then reading continues at the position.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(30 * 24);

/// The position at which reading a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPartition {
    pub partition: i32,
    /// `None` if no replica has read it yet.
    pub next_offset: Option<i64>,
    pub up_to: Timestamp,
    pub clock: BrokerClock,
}

/// A replica's report on a partition that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    pub partition: i32,
    /// `None` before it is known where reading begins.
    pub next_offset: Option<i64>,
    pub end_offset: i64,
    /// `None` before anything is known; then the watermark does not advance.
    pub up_to: Option<Timestamp>,
    /// True if its offsets have restarted, so that it replaces the stored state.
    pub is_another: bool,
    pub clock: BrokerClock,
}

#[derive(FromRow)]
struct PositionRow {
    partition: i32,
    next_offset: Option<i64>,
    complete_until: DateTime<Utc>,
    clock_is_ahead: bool,
}

impl From<PositionRow> for LogPartition {
    fn from(row: PositionRow) -> Self {
        Self {
            partition: row.partition,
            next_offset: row.next_offset,
            up_to: row.complete_until.into(),
            clock: if row.clock_is_ahead {
                BrokerClock::Ahead
            } else {
                BrokerClock::Trusted
            },
        }
    }
}

impl Tx<'_> {
    /// Returns the state of the partitions of a topic.
    pub async fn log_partitions(&mut self, topic: &str) -> Result<Vec<LogPartition>, StoreError> {
        let query = sqlx::query_as(
            "-- kafka_partitions.of_topic
             select partition, next_offset, complete_until, clock_is_ahead
             from kafka_partitions where topic = $1",
        )
        .bind(topic);
        let rows: Vec<PositionRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(LogPartition::from).collect())
    }

    /// Deletes partitions that a topic no longer has. Returns those that were there.
    pub async fn delete_log_partitions(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<LogPartition>, StoreError> {
        let query = sqlx::query_as(
            "-- kafka_partitions.delete
             delete from kafka_partitions where topic = $1 and partition = any($2)
             returning partition, next_offset, complete_until, clock_is_ahead",
        )
        .bind(topic)
        .bind(partitions);
        let rows: Vec<PositionRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(LogPartition::from).collect())
    }

    /// Stores how far a replica has read. A report of another replica that has read further is
    /// kept: both are true.
    pub async fn note_log_partitions(
        &mut self,
        topic: &str,
        reports: &[PartitionReport],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // In one order, so that two replicas never wait for each other in a circle.
        let mut reports = reports.to_vec();
        reports.sort_by_key(|report| report.partition);
        let partitions: Vec<i32> = reports.iter().map(|report| report.partition).collect();
        let next: Vec<Option<i64>> = reports.iter().map(|report| report.next_offset).collect();
        let ends: Vec<i64> = reports.iter().map(|report| report.end_offset).collect();
        let up_to: Vec<Option<DateTime<Utc>>> = reports
            .iter()
            .map(|report| report.up_to.map(Timestamp::to_chrono))
            .collect();
        let is_another: Vec<bool> = reports.iter().map(|report| report.is_another).collect();
        let is_ahead = reports
            .iter()
            .map(|report| report.clock == BrokerClock::Ahead);
        let statement = sqlx::query(
            "-- kafka_partitions.note
             insert into kafka_partitions as p
                 (topic, partition, next_offset, end_offset, complete_until, seen_at, wanted_at,
                     clock_is_ahead)
             select $1, n.partition, n.next_offset, n.end_offset,
                 coalesce(n.up_to, (select complete_until from ingest_watermark), $7), $7, $7,
                 n.clock_is_ahead
             from unnest($2::integer[], $3::bigint[], $4::bigint[], $5::timestamptz[], $8::boolean[])
                 as n(partition, next_offset, end_offset, up_to, clock_is_ahead)
             on conflict (topic, partition) do update
             set next_offset = case when (select is_another from unnest($2::integer[], $6::boolean[])
                         as a(partition, is_another) where a.partition = excluded.partition)
                     then excluded.next_offset
                     else greatest(p.next_offset, excluded.next_offset) end,
                 end_offset = excluded.end_offset,
                 complete_until = greatest(p.complete_until, excluded.complete_until),
                 seen_at = greatest(p.seen_at, excluded.seen_at),
                 clock_is_ahead = excluded.clock_is_ahead",
        )
        .bind(topic)
        .bind(partitions)
        .bind(next)
        .bind(ends)
        .bind(up_to)
        .bind(is_another)
        .bind(now.to_chrono())
        .bind(is_ahead.collect::<Vec<_>>());
        self.execute(statement).await.map(drop)
    }

    /// Records that a replica is configured to read a topic, whether it can or not: all its partitions are
    /// waited for. Partitions of other topics that no replica is configured to read are deleted later.
    pub async fn want_log_partitions(
        &mut self,
        topic: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- kafka_partitions.want
             update kafka_partitions as p set wanted_at = $2
             from (select partition from kafka_partitions where topic = $1 and wanted_at < $2
                   order by partition for update) as w
             where p.topic = $1 and p.partition = w.partition",
        )
        .bind(topic)
        .bind(now.to_chrono());
        self.execute(statement).await?;
        let statement = sqlx::query(
            "-- kafka_partitions.forget
             delete from kafka_partitions where wanted_at < $1",
        )
        .bind((now - FORGOTTEN_AFTER).to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Returns up to when all partitions are read; `None` if none is.
    pub(super) async fn log_up_to(
        &mut self,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_as(
            "-- kafka_partitions.up_to
             select min(complete_until) from kafka_partitions
             where wanted_at >= $1",
        )
        .bind((now - IGNORED_AFTER).to_chrono());
        let (up_to,): (Option<DateTime<Utc>>,) = self.fetch_one(query).await?;
        Ok(up_to.map(Timestamp::from))
    }

    /// Records that messages were removed before they were read: workflows that waited for an end then do
    /// not time out.
    pub async fn note_log_loss(&mut self, loss: &LogLoss) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- evidence_gaps.add_log_loss
             insert into evidence_gaps (lost_from, lost_until)
             select f.lost_from, greatest($2, f.lost_from + interval '1 millisecond')
             from (select coalesce($1, (select complete_until from ingest_watermark), $2::timestamptz))
                 as f(lost_from)
             on conflict (lost_until) do update
             set lost_from = least(evidence_gaps.lost_from, excluded.lost_from)",
        )
        .bind(loss.from.map(Timestamp::to_chrono))
        .bind(loss.until.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Returns the id that distinguishes this installation from others.
    pub async fn installation_id(&mut self) -> Result<Uuid, StoreError> {
        let query = sqlx::query_as(
            "-- service_state.installation_id
             select installation_id from service_state",
        );
        let (id,): (Uuid,) = self.fetch_one(query).await?;
        Ok(id)
    }

    /// Returns the state of all partitions that are to be read, for self-checks, pages and metrics.
    pub async fn log_signs(&mut self) -> Result<Vec<LogSign>, StoreError> {
        let query = sqlx::query_as(
            "-- kafka_partitions.signs
             select topic, partition, greatest(end_offset - coalesce(next_offset, 0), 0) as lag, complete_until,
                 seen_at
             from kafka_partitions
             where wanted_at >= (select max(wanted_at) from kafka_partitions) - $1
             order by topic, partition",
        )
        .bind(IGNORED_AFTER);
        let rows: Vec<LogRow> = self.fetch_all(query).await?;
        let sign = |row: LogRow| LogSign {
            topic: row.topic,
            partition: row.partition,
            lag: row.lag,
            up_to: row.complete_until.into(),
            seen_at: row.seen_at.into(),
        };
        Ok(rows.into_iter().map(sign).collect())
    }
}

#[derive(FromRow)]
struct LogRow {
    topic: String,
    partition: i32,
    lag: i64,
    complete_until: DateTime<Utc>,
    seen_at: DateTime<Utc>,
}

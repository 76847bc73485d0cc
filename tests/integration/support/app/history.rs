//! What happened before a test begins, written straight into the tables.

use sqlx::PgConnection;
use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            group::Group,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        workflow::Outcome,
    },
    store::Writer,
};
use uuid::Uuid;

use super::{HORIZON, TestApp};
use crate::support::lists;

/// A workflow that went bad.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadWorkflow<'a> {
    pub(crate) label: &'a str,
    pub(crate) customer: Option<&'a str>,
    pub(crate) started_at: Timestamp,
    pub(crate) judged_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) outcome: Outcome,
}

pub(crate) const fn good(count: i64) -> EventCounts {
    EventCounts {
        good: count,
        ..EventCounts::ZERO
    }
}

pub(crate) const fn timeouts(count: i64) -> EventCounts {
    EventCounts {
        timeout: count,
        ..EventCounts::ZERO
    }
}

pub(crate) const fn failed(count: i64) -> EventCounts {
    EventCounts {
        failed: count,
        ..EventCounts::ZERO
    }
}

/// Adds the same events in every minute of a range, at all resolutions, as this replica would.
pub(crate) async fn add_events(
    connection: &mut PgConnection,
    writer: Writer,
    (slo, range): (SloId, TimeRange),
    per_minute: EventCounts,
) {
    for resolution in Resolution::ALL {
        sqlx::query(
            "insert into event_counts as c
                 (slo_id, resolution, bucket, writer, good, late, failed, timeout)
             select $1, $2, to_timestamp(floor(extract(epoch from minute) / $2) * $2), $9,
                 sum($5), sum($6), sum($7), sum($8)
             from generate_series($3, $4 - interval '1 minute', interval '1 minute') as minute
             group by 3
             on conflict (slo_id, resolution, bucket, writer) do update
             set good = c.good + excluded.good, late = c.late + excluded.late,
                 failed = c.failed + excluded.failed, timeout = c.timeout + excluded.timeout",
        )
        .bind(slo.0)
        .bind(resolution.as_secs())
        .bind(range.from.to_chrono())
        .bind(range.to.to_chrono())
        .bind(per_minute.good)
        .bind(per_minute.late)
        .bind(per_minute.failed)
        .bind(per_minute.timeout)
        .bind(writer.0)
        .execute(&mut *connection)
        .await
        .expect("counts can be written");
    }
}

impl TestApp {
    /// Room for events of any time; a restored backup has it.
    pub(super) async fn make_partitions(&self) {
        self.execute(
            "create table if not exists event_counts_minute_all partition of event_counts_minute default;
             create table if not exists event_counts_hour_all partition of event_counts_hour default;
             create table if not exists customer_counts_hour_all partition of customer_counts_hour default;
             create table if not exists customer_counts_day_all partition of customer_counts_day default;
             create table if not exists customer_buckets_hour_all partition of customer_buckets_hour default;
             create table if not exists customer_buckets_day_all partition of customer_buckets_day default;
             create table if not exists workflows_all partition of workflows default;",
        )
        .await;
        self.open_epoch(self.began).await;
    }

    /// Workflows that begin from now on belong to another partition.
    pub(crate) async fn open_epoch(&self, at: Timestamp) {
        let mut tx = self.store.begin("open an epoch").await.unwrap();
        tx.ensure_epoch(at, HORIZON).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The same events in every minute between two minutes of the story.
    pub(crate) async fn fill(&self, minutes: [u32; 2], per_minute: EventCounts) {
        let [from, to] = minutes.map(|minute| self.minute(minute));
        self.fill_range(self.only(), TimeRange::new(from, to), per_minute)
            .await;
    }

    /// Nothing finishes for ten minutes; after that all is well for two hours.
    pub(crate) async fn stall(&self) {
        self.fill([0, 10], timeouts(10)).await;
        self.fill([10, 130], good(10)).await;
    }

    /// The same events in every minute of `range`, at all resolutions.
    pub(crate) async fn fill_range(&self, slo: SloId, range: TimeRange, per_minute: EventCounts) {
        let mut past = self.past.lock().await;
        add_events(&mut past, Writer(0), (slo, range), per_minute).await;
        drop(past);
        self.had_first_event(slo, range.from).await;
    }

    /// The first event of an SLO or a group came then, or earlier, and it has had ends.
    pub(crate) async fn had_first_event(&self, slo: SloId, at: Timestamp) {
        sqlx::query(
            "update slos set first_event_at = least(first_event_at, $2), has_ended = true
             where id = $1",
        )
        .bind(slo.0)
        .bind(at.to_chrono())
        .execute(&mut *self.past.lock().await)
        .await
        .expect("the first event can be written");
    }

    pub(crate) async fn add_bad(&self, workflow: BadWorkflow<'_>) {
        sqlx::query(
            "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us,
                 trace_id, trace_rank, customer, outcome, judged_at)
             values ($1, gen_random_uuid(), 1, $2, $3, $4, 300000000, gen_random_uuid(), 0,
                 $5, $6, $7)",
        )
        .bind(self.only().0)
        .bind(workflow.label)
        .bind(workflow.started_at.to_chrono())
        .bind(workflow.ended_at.map(Timestamp::to_chrono))
        .bind(workflow.customer)
        .bind(workflow.outcome.as_code())
        .bind(workflow.judged_at.to_chrono())
        .execute(&mut *self.past.lock().await)
        .await
        .expect("a workflow can be written");
        self.fill_lists().await;
    }

    /// Lists the workflows that were written straight into their table.
    pub(crate) async fn fill_lists(&self) {
        lists::fill(&mut *self.past.lock().await).await;
    }

    /// A workflow that has started, has five minutes, and is waited for one minute longer.
    pub(crate) async fn add_open(&self, started_at: Timestamp) {
        sqlx::query(
            "insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id,
                 trace_rank, outcome, due_at)
             values ($1, gen_random_uuid(), 1, 'open', $2, 300000000, gen_random_uuid(),
                 0, 0, $2 + interval '6 minutes')",
        )
        .bind(self.only().0)
        .bind(started_at.to_chrono())
        .execute(&mut *self.past.lock().await)
        .await
        .expect("a workflow can be written");
        self.fill_lists().await;
    }

    /// A group of the only SLO.
    pub(crate) async fn make_group(&self, group: &Group) -> SloId {
        let id = sqlx::query_scalar(
            "insert into slos (parent_id, group_by, group_key, group_values)
             values ($1, $2, $3, $4) returning id",
        )
        .bind(self.only().0)
        .bind(sqlx::types::Json(&group.by))
        .bind(Uuid::from_bytes(group.key().0))
        .bind(sqlx::types::Json(&group.values))
        .fetch_one(&mut *self.past.lock().await)
        .await
        .unwrap();
        SloId(id)
    }

    /// As if whatever has been evaluated had been so until then without a pause.
    pub(super) async fn was_evaluated_until(&self, at: Timestamp) {
        sqlx::query("update slo_statuses set evaluated_at = $1 where evaluated_at < $1")
            .bind(at.to_chrono())
            .execute(&mut *self.past.lock().await)
            .await
            .unwrap();
    }

    /// Nothing was received after this time.
    pub(crate) async fn ingest_ends(&self, at: Timestamp) {
        sqlx::query(
            "insert into ingest_watermark (complete_until, heartbeat_at, catch_up_until) values ($1, $1, $1)
             on conflict (singleton) do update set complete_until = $1",
        )
        .bind(at.to_chrono())
        .execute(&mut *self.past.lock().await)
        .await
        .unwrap();
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&mut *self.past.lock().await)
            .await
            .expect("the statement runs");
    }

    /// The only number of a query.
    pub(crate) async fn number(&self, sql: impl Into<String>) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.into()))
            .fetch_one(&mut *self.past.lock().await)
            .await
            .unwrap()
    }
}

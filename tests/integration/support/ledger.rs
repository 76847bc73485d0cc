//! A ledger filled by hand, for what only reads it.

use sqlx::{PgConnection, Row as _};
use throughline::{
    domain::{
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{Resolution, TimeRange, Timestamp},
        },
        workflow::Outcome,
    },
    store::Store,
};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::database::TestDatabase;

/// A database whose counts and workflows a test writes itself, at any time in the past.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) connection: PgConnection,
    workflows: u8,
    past: Mutex<PgConnection>,
}

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

impl Ledger {
    pub(crate) async fn create() -> Self {
        Self::on(TestDatabase::create().await).await
    }

    pub(crate) async fn on(database: TestDatabase) -> Self {
        let mut connection = database.connect().await;
        sqlx::raw_sql(
            "create table event_counts_minute_all partition of event_counts_minute default;
             create table event_counts_hour_all partition of event_counts_hour default;
             create table workflows_all partition of workflows default;",
        )
        .execute(&mut connection)
        .await
        .expect("partitions can be made");
        let past = Mutex::new(database.connect().await);
        Self {
            store: database.store,
            connection,
            workflows: 0,
            past,
        }
    }

    /// As if whatever has been evaluated had been so until then without a pause.
    pub(crate) async fn was_evaluated_until(&self, at: Timestamp) {
        sqlx::query("update slo_statuses set evaluated_at = $1 where evaluated_at < $1")
            .bind(at.to_chrono())
            .execute(&mut *self.past.lock().await)
            .await
            .unwrap();
    }

    pub(crate) async fn declare(&self, name: &str) -> SloId {
        let mut tx = self.store.begin("declare SLOs").await.unwrap();
        let ids = tx.declare(&[name.parse().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
        *ids.values().next().unwrap()
    }

    pub(crate) async fn declare_none(&self) {
        let mut tx = self.store.begin("declare SLOs").await.unwrap();
        assert_eq!(tx.declare(&[]).await.unwrap().len(), 0);
        tx.commit().await.unwrap();
    }

    /// Adds the same events to every minute of `range`, at all resolutions.
    pub(crate) async fn fill(&mut self, slo: SloId, range: TimeRange, per_minute: EventCounts) {
        for resolution in Resolution::ALL {
            sqlx::query(
                "insert into event_counts as c
                     (slo_id, resolution, bucket, writer, good, late, failed, timeout)
                 select $1, $2, to_timestamp(floor(extract(epoch from minute) / $2) * $2), 0,
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
            .execute(&mut self.connection)
            .await
            .expect("counts can be written");
        }
        sqlx::query("update slos set first_event_at = least(first_event_at, $2) where id = $1")
            .bind(slo.0)
            .bind(range.from.to_chrono())
            .execute(&mut self.connection)
            .await
            .expect("the first event can be written");
    }

    pub(crate) async fn add_bad(&mut self, slo: SloId, workflow: BadWorkflow<'_>) {
        sqlx::query(
            "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us,
                 trace_id, trace_rank, customer, outcome, judged_at)
             values ($1, gen_random_uuid(), 1, $2, $3, $4, 300000000, $5, 0, $6, $7, $8)",
        )
        .bind(slo.0)
        .bind(workflow.label)
        .bind(workflow.started_at.to_chrono())
        .bind(workflow.ended_at.map(Timestamp::to_chrono))
        .bind(self.next_trace_id())
        .bind(workflow.customer)
        .bind(workflow.outcome.as_code())
        .bind(workflow.judged_at.to_chrono())
        .execute(&mut self.connection)
        .await
        .expect("a workflow can be written");
    }

    /// A workflow that has started, has five minutes, and is waited for one minute longer.
    pub(crate) async fn add_open(&mut self, slo: SloId, started_at: Timestamp) {
        sqlx::query(
            "insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id,
                 trace_rank, outcome, due_at)
             values ($1, gen_random_uuid(), 1, 'open', $2, 300000000, $3, 0, 0,
                 $2 + interval '6 minutes')",
        )
        .bind(slo.0)
        .bind(started_at.to_chrono())
        .bind(self.next_trace_id())
        .execute(&mut self.connection)
        .await
        .expect("a workflow can be written");
    }

    /// Every delivery as `target kind ordering_key priority`, oldest first, then by target.
    pub(crate) async fn deliveries(&mut self) -> Vec<String> {
        sqlx::query(
            "select d.target || ' ' || t.kind || ' ' || d.ordering_key || ' ' || d.priority
             from deliveries d join alert_transitions t on t.id = d.transition_id order by t.at, d.target",
        )
        .fetch_all(&mut self.connection)
        .await
        .expect("deliveries can be read")
        .iter()
        .map(|row| row.get(0))
        .collect()
    }

    pub(crate) async fn execute(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&mut self.connection)
            .await
            .expect("the statement runs");
    }

    fn next_trace_id(&mut self) -> Uuid {
        self.workflows += 1;
        Uuid::from_bytes([self.workflows; 16])
    }
}

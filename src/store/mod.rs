//! Postgres: the only module with SQL.
//!
//! Each file is about one kind of row and adds methods to [`Tx`], with domain types as arguments
//! and results. A transaction has a name, which labels its span, its duration and its errors. It
//! does not retry: the next tick, or the sender, does. Every query starts with a comment `--
//! noun.verb`, which `pg_stat_statements` and the server's log show.

mod access;
mod alerts;
mod batch;
mod columns;
mod connections;
mod counts;
mod error;
mod links;
mod list_position;
mod lists;
mod log_partitions;
mod outbox;
mod platform;
mod schema;
mod search;
mod slos;
mod trace_ids;
mod tx;
mod updates;
mod workflows;

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgPool, Row as _, migrate::MigrateError};

use self::{connections::Pools, schema::MIGRATOR, tx::Operation};
use crate::{
    domain::{health::diagnosis::Pooling, model::time::Timestamp},
    telemetry::metrics::DatabaseMetrics,
};
pub use access::audit::{AuditFilter, AuditRecord};
pub use access::sessions::{
    EndedSession, ListedSession, NewSession, ProviderUser, SessionLogin, SessionRecord,
};
pub use alerts::change_events::{CHANGE_EVENTS_AN_HOUR, RecentChangeEvents, Recorded};
pub use alerts::episodes::EpisodeRecord;
pub use alerts::incidents::{IncidentAttempt, IncidentDelivery};
pub use alerts::silences::SILENCES_AT_ONCE;
pub use alerts::states::{AlertTransition, TransitionsOf};
pub use connections::{ConnectionUse, DatabaseAddress, InvalidUrl};
pub use counts::correlated_spans::SelectedSpans;
pub use counts::customers::{AffectedCount, CustomerImpact};
pub use counts::events::{SeriesQuery, Writer};
pub use counts::samples::{EventSample, FirstSeen};
pub use counts::stage_sums::DurationsOfStep;
pub use counts::stage_workflows::{StageAggregate, StageWorkflow};
pub use counts::totals::EventTotals;
pub use error::{ForeignSchema, StoreError, StoreErrorKind};
pub(crate) use links::{
    batch_messages::{Batches, MessageRow, PUBLICATION},
    edges::{PendingSpans, SpanColumns},
    evidence::{EvidenceRow, EvidenceRows, batch_ids},
};
pub use list_position::ListPosition;
pub use lists::bad::{AffectedCustomer, AffectedCustomers, BadSelection};
pub use lists::open::OpenWorkflows;
pub use log_partitions::{LogPartition, PartitionReport};
pub use outbox::deliveries::{ClaimedDelivery, Lease, NewDeliveries};
pub use outbox::queue::Escalation;
pub use outbox::records::{DeliveryFilter, DeliveryRecord, Retried};
pub use outbox::sent_reports::{SentReport, TargetReportKey};
pub use outbox::target_changes::FiringAlert;
pub use outbox::target_references::EarlierMessage;
pub use platform::database_facts::DatabaseReport;
pub use platform::health_checks::{HealthCheck, OpenCheck};
pub use platform::health_inputs::{OtherReplicas, ReplicaSigns, Waiting};
pub use platform::idempotency_keys::{Claimed, NamedRequest};
pub use platform::notification_history::{TargetTraffic, TestDelivery};
pub use platform::notifications::NewNotification;
pub use platform::retention::Retention;
pub use platform::service_state::LastHeartbeat;
pub use search::customer::CustomerTally;
pub use search::find::{SearchBy, SearchCandidate, SearchPosition};
pub use slos::claims::{Claims, Declaration, DueSlo, LastingEvaluation};
pub use slos::definition_sets::DefinitionSet;
pub use slos::group_reads::{GroupRecord, GroupTally};
pub(crate) use slos::groups::{GroupIds, Grouping};
pub use slos::records::SloRecord;
pub use tx::{Progress, Tx};
pub use updates::SpanCounts;
pub(crate) use updates::WorkflowChanges;
pub use workflows::epochs::LedgerState;
pub use workflows::heard::{HeardWorkflows, OpenStagesCursor};
pub use workflows::purged::PagesAStep;
pub use workflows::reads::WorkflowRecord;
pub(crate) use workflows::rows::{ChangedRows, CountedWorkflow, KnownWorkflow};
pub use workflows::{losses::Loss, observations::LearnedSampling, one::StoredWorkflow};

/// Key of the advisory lock of those who migrate.
const MIGRATION_LOCK: i64 = 0x0074_6872_6f75_6769;

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    purpose: ConnectionUse,
    metrics: Option<DatabaseMetrics>,
}

impl Store {
    /// Makes a store for a database, such as `postgres://user:password@host:5432/database` or several
    /// servers `postgres://user@one,two/database`. Does not connect yet: the first transaction does, and
    /// returns the error.
    ///
    /// # Errors
    /// If `url` cannot be used.
    pub fn at(url: &str, max_connections: u32) -> Result<Self, InvalidUrl> {
        Ok(Self::new(DatabaseAddress::from_str(url)?, max_connections))
    }

    /// Makes a store for a replica, of which the pages only read.
    ///
    /// # Errors
    /// If `url` cannot be used.
    pub fn of_replica(url: &str, max_connections: u32) -> Result<Self, InvalidUrl> {
        let address = DatabaseAddress::from_str(url)?.for_reading();
        Ok(Self::new(address, max_connections).for_use(ConnectionUse::Pages))
    }

    /// Makes a store for [`ConnectionUse::Loops`]. Does not connect yet: the first transaction
    /// does, and returns the error.
    pub fn new(address: impl Into<DatabaseAddress>, max_connections: u32) -> Self {
        Self {
            pools: Pools::new(address.into(), max_connections),
            purpose: ConnectionUse::Loops,
            metrics: None,
        }
    }

    /// Returns the same store, whose transactions use the connections for `purpose`.
    #[must_use]
    pub fn for_use(&self, purpose: ConnectionUse) -> Self {
        Self {
            purpose,
            ..self.clone()
        }
    }

    /// Returns how many transactions can run at once.
    pub fn max_connections(&self) -> u32 {
        self.pool().options().get_max_connections()
    }

    fn pool(&self) -> &PgPool {
        self.pools.of(self.purpose)
    }

    /// Returns the same store, with its transactions measured.
    #[must_use]
    pub fn measured(self, metrics: DatabaseMetrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Updates the metrics of all connection pools.
    pub fn measure_pools(&self) {
        if let Some(metrics) = &self.metrics {
            self.pools.measure(metrics);
        }
    }

    /// Returns the address of the database, without user and password.
    pub fn address(&self) -> String {
        let options = self.pool().connect_options();
        let server = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or_default();
        format!("{server}/{database}")
    }

    /// Returns how a pooler in front of the database shares its connections.
    pub async fn pooling(&self) -> Result<Pooling, StoreError> {
        let pooling = self.pools.pooling().await;
        pooling.map_err(|source| StoreError::new("look for a pooler", source))
    }

    /// Migrates the schema, all of it or nothing. Safe while other replicas do the same.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let operation = "migrate the schema";
        self.migrate_in_one_transaction()
            .await
            .map_err(|error| StoreError::new(operation, error::cause(error)))
    }

    /// Migrates in one transaction. The migration library names its statements, and behind a pooler
    /// these names may already be used.
    async fn migrate_in_one_transaction(&self) -> Result<(), MigrateError> {
        let mut connection = self.pools.connect().await?;
        let mut transaction = connection.begin().await?;
        let begin = format!(
            "-- schema.begin_migration\n\
             deallocate all; select pg_advisory_xact_lock({MIGRATION_LOCK})"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin))
            .execute(&mut *transaction)
            .await?;
        let newer = schema::unknown_migrations(&mut transaction).await?;
        if !newer.is_empty() {
            tracing::warn!(
                "the schema is of a newer version, which this one can use: it has the migrations {newer:?}"
            );
        }
        MIGRATOR.run_direct(None, &mut *transaction, false).await?;
        sqlx::raw_sql("-- schema.end_migration\ndeallocate all")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        connection.close().await?;
        Ok(())
    }

    /// Begins a transaction. `operation` completes the sentence "cannot ...": `record evidence`.
    pub async fn begin(&self, operation: &'static str) -> Result<Tx<'static>, StoreError> {
        self.begin_and(operation, "").await
    }

    /// Begins a transaction that reads the few rows of many SLOs. The rows of an SLO lie on as many pages,
    /// which the planner would collect in bitmaps for nothing.
    pub async fn begin_reading_counts(
        &self,
        operation: &'static str,
    ) -> Result<Tx<'static>, StoreError> {
        self.begin_and(operation, "; set local enable_bitmapscan = off")
            .await
    }

    async fn begin_and(
        &self,
        operation: &'static str,
        and_then: &str,
    ) -> Result<Tx<'static>, StoreError> {
        let operation = Operation::new(operation, self.metrics.clone());
        match self.pools.begin(self.purpose, and_then).await {
            Ok(inner) => Ok(Tx::new(inner, operation)),
            Err(source) => Err(operation.failed(source)),
        }
    }

    /// Begins a transaction that judges workflows. `operation` is as for [`begin`](Self::begin).
    pub async fn begin_recording(
        &self,
        operation: &'static str,
    ) -> Result<(Tx<'static>, LedgerState), StoreError> {
        let share = workflows::epochs::share_ledger();
        let mut tx = self.begin_and(operation, &share).await?;
        let state = tx.ledger_state().await?;
        Ok((tx, state))
    }

    /// Returns the time of the database's clock, which all replicas use.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        // Without parameters it is a transaction of its own, also behind a pooler.
        let query = sqlx::raw_sql("-- store.now\nselect clock_timestamp()");
        let now = query.fetch_one(self.pool()).await;
        now.and_then(|row| row.try_get::<DateTime<Utc>, _>(0))
            .map(Timestamp::from)
            .map_err(|source| StoreError::new("read the database's clock", source))
    }

    /// Returns the time until which a replica has what was committed; `None` if that is unknown. The
    /// service commits every second, so without news the replica is behind.
    pub async fn complete_until(&self) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::raw_sql(concat!(
            "-- replica.complete_until\n",
            "select case when pg_is_in_recovery() then pg_last_xact_replay_timestamp() ",
            "else clock_timestamp() end",
        ));
        let until = query.fetch_one(self.pool()).await;
        until
            .and_then(|row| row.try_get::<Option<DateTime<Utc>>, _>(0))
            .map(|until| until.map(Timestamp::from))
            .map_err(|source| StoreError::new("ask the replica how far it is", source))
    }

    pub async fn close(&self) {
        self.pools.close().await;
    }
}

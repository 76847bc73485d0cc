//! Postgres: the only module that knows SQL.
//!
//! One file per noun adds methods to [`Tx`], with domain types as arguments and results. A
//! transaction has a name, which labels its span, its duration and its errors. It does not retry:
//! the next tick, or the sender, does. Every query starts with a comment `-- noun.verb`, which
//! `pg_stat_statements` and the server's log show.

mod access;
mod alerts;
mod batch;
mod columns;
mod counts;
mod error;
mod links;
mod lists;
mod log_partitions;
mod outbox;
mod platform;
mod pools;
mod search;
mod slos;
mod trace_ids;
mod tx;
mod updates;
mod workflows;

use std::str::FromStr as _;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, migrate::Migrator, postgres::PgConnectOptions};

use self::{pools::Pools, tx::Operation};
use crate::{domain::model::time::Timestamp, telemetry::metrics::DatabaseMetrics};
pub use access::audit::{AuditFilter, AuditRecord};
pub use access::sessions::{
    EndedSession, ListedSession, NewSession, ProviderUser, SessionLogin, SessionRecord,
};
pub use alerts::change_events::{CHANGE_EVENTS_AN_HOUR, Recorded};
pub use alerts::episodes::EpisodeRecord;
pub use alerts::incidents::{IncidentAttempt, IncidentDelivery};
pub use alerts::states::{AlertTransition, TransitionsOf};
pub use counts::correlated_spans::SelectedSpans;
pub use counts::customers::{AffectedCount, CustomerImpact};
pub use counts::events::{SeriesQuery, Writer};
pub use counts::samples::{EventSample, FirstSeen};
pub use counts::stage_sums::DurationsOfStep;
pub use counts::stage_workflows::{Fold, StageWorkflow};
pub use counts::totals::EventTotals;
pub use error::{ForeignSchema, StoreError, StoreErrorKind};
pub(crate) use links::{
    batch_messages::{Batches, MessageRow, PUBLICATION},
    evidence::{EvidenceRow, batch_ids},
};
pub(crate) use lists::ListChanges;
pub use lists::bad::{AffectedCustomer, AffectedCustomers};
pub use lists::open::OpenWorkflows;
pub use log_partitions::{LogPartition, PartitionReport};
pub use outbox::deliveries::{ClaimedDelivery, Lease, NewDeliveries};
pub use outbox::queue::Escalation;
pub use outbox::records::{DeliveryFilter, DeliveryRecord, Retried};
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
pub use pools::ConnectionUse;
pub use search::customer::CustomerTally;
pub use search::find::{SearchBy, SearchCandidate, SearchPosition};
pub use slos::definition_sets::DefinitionSet;
pub use slos::group_reads::{GroupRecord, GroupTally};
pub(crate) use slos::groups::{GroupIds, Grouping};
pub use slos::records::{Declaration, DueSlo, SloRecord};
pub use tx::{Progress, Tx};
pub use updates::SpanCounts;
pub use workflows::epochs::LedgerState;
pub use workflows::heard::HeardWorkflows;
pub use workflows::reads::WorkflowRecord;
pub(crate) use workflows::rows::{CountedWorkflow, LockedWorkflow, WorkflowColumns};
pub use workflows::{losses::Loss, observations::LearnedSampling, one::StoredWorkflow};

/// All migrations, in order. They are edited in place until the first release; from then on only
/// added, which `tests/fixtures/migrations.released` enforces.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    purpose: ConnectionUse,
    metrics: Option<DatabaseMetrics>,
}

impl Store {
    /// Makes a store for `url`, such as `postgres://user:password@host:5432/database`. Does not
    /// connect yet: the first transaction does, and returns the error.
    ///
    /// # Errors
    /// If `url` cannot be parsed. The error shows no part of it, since it may hold a password.
    pub fn at(url: &str, max_connections: u32) -> Result<Self, InvalidUrl> {
        let options = PgConnectOptions::from_str(url).map_err(|_| InvalidUrl)?;
        Ok(Self::new(
            options.application_name("throughline"),
            max_connections,
        ))
    }

    /// Makes a store for [`ConnectionUse::Loops`]. Does not connect yet: the first transaction
    /// does, and returns the error.
    pub fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        Self {
            pools: Pools::new(options, max_connections),
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

    /// Migrates the schema. Safe while other replicas do the same.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATOR
            .run(self.pool())
            .await
            .map_err(|error| StoreError::new("migrate the schema", error::cause(error)))
    }

    /// Begins a transaction. `operation` completes the sentence "cannot ...": `record evidence`.
    pub async fn begin(&self, operation: &'static str) -> Result<Tx<'static>, StoreError> {
        let operation = Operation::new(operation, self.metrics.clone());
        match self.pool().begin().await {
            Ok(inner) => Ok(Tx::new(inner, operation)),
            Err(source) => Err(operation.failed(source)),
        }
    }

    /// Begins a transaction that judges workflows. `operation` is as for [`begin`](Self::begin).
    pub async fn begin_recording(
        &self,
        operation: &'static str,
    ) -> Result<(Tx<'static>, LedgerState), StoreError> {
        let operation = Operation::new(operation, self.metrics.clone());
        // Made of a constant number.
        let begin = sqlx::AssertSqlSafe(workflows::epochs::begin_recording());
        let mut tx = match self.pool().begin_with(begin).await {
            Ok(inner) => Tx::new(inner, operation),
            Err(source) => return Err(operation.failed(source)),
        };
        let state = tx.ledger_state().await?;
        Ok((tx, state))
    }

    /// Returns the time of the database's clock, which all replicas use.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let now: Result<DateTime<Utc>, _> =
            sqlx::query_scalar("-- store.now\nselect clock_timestamp()")
                .fetch_one(self.pool())
                .await;
        now.map(Timestamp::from)
            .map_err(|source| StoreError::new("read the database's clock", source))
    }

    pub async fn close(&self) {
        self.pools.close().await;
    }
}

/// The error for a URL that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the database URL: write `postgres://user:password@host:5432/database`")]
pub struct InvalidUrl;

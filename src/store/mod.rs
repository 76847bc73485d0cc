//! Postgres: the only module that knows SQL.
//!
//! One file per noun adds methods to [`Tx`], domain types in and out. A transaction has a name, which
//! labels its span, its duration and its errors; it does not retry: the next tick, or the sender, is
//! the retry.
//! Every query starts with a comment `-- noun.verb`, which `pg_stat_statements` and the server's log
//! show.

mod alerts;
mod columns;
mod counts;
mod error;
mod links;
mod outbox;
mod platform;
mod slos;
mod trace_ids;
mod tx;
mod workflows;

use std::{str::FromStr as _, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use self::tx::Operation;
use crate::{domain::model::time::Timestamp, telemetry::metrics::DatabaseMetrics};
pub use alerts::change_events::Recorded;
pub use alerts::incidents::{IncidentAttempt, IncidentDelivery};
pub use alerts::states::AlertTransition;
pub use counts::correlated_spans::SelectedSpans;
pub use counts::customers::CustomersHurt;
pub use counts::events::{SeriesQuery, Writer};
pub use counts::samples::{EventSample, FirstSeen};
pub use counts::stage_workflows::{Fold, StageWorkflow};
pub use error::{ForeignSchema, StoreError};
pub use links::resolve::{LinkNews, LinkUpdates};
pub use outbox::deliveries::{ClaimedDelivery, Lease, NewDeliveries};
pub use outbox::queue::Escalation;
pub use outbox::records::{DeliveryFilter, DeliveryRecord, Retried};
pub use outbox::target_references::EarlierMessage;
pub use platform::health_checks::{HealthCheck, OpenCheck};
pub use platform::health_inputs::{OtherReplicas, ReplicaSigns, Waiting};
pub use platform::idempotency_keys::{Claimed, NamedRequest};
pub use platform::notification_history::{TargetTraffic, TestDelivery};
pub use platform::notifications::NoticeNews;
pub use platform::retention::Retention;
pub use platform::service_state::LastHeartbeat;
pub use slos::definition_sets::DefinitionSet;
pub use slos::group_reads::{GroupRecord, GroupTally};
pub use slos::records::{Declaration, DueSlo, SloRecord};
pub use tx::Tx;
pub use workflows::join::JudgingBySlo;
pub use workflows::reads::{AffectedCustomer, AffectedCustomers, OpenWorkflows, WorkflowRecord};
pub use workflows::{losses::Loss, observations::LearnedSampling};

/// All migrations, in order. Edited in place until the first release; from then on only added, which
/// `tests/fixtures/migrations.released` guards.
pub static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// How long a connection may take to end what it was let go of in the middle of.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A pool of connections to one database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    metrics: Option<DatabaseMetrics>,
}

impl Store {
    /// A store at `url`, as `postgres://user:password@host:5432/database`. Does not connect yet: the
    /// first transaction does, and its error is the caller's.
    ///
    /// # Errors
    /// The error shows nothing of the address, which may hold a password.
    pub fn at(url: &str, max_connections: u32) -> Result<Self, InvalidUrl> {
        let options = PgConnectOptions::from_str(url).map_err(|_| InvalidUrl)?;
        Ok(Self::new(
            options.application_name("throughline"),
            max_connections,
        ))
    }

    /// Does not connect yet: the first transaction does, and its error is the caller's.
    pub fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(2))
            .after_connect(|connection, _| Box::pin(set_up(connection)))
            .after_release(|connection, _| Box::pin(still_answers(connection)))
            .connect_lazy_with(options);
        Self {
            pool,
            metrics: None,
        }
    }

    /// The same pool, whose transactions are measured from now on.
    #[must_use]
    pub fn measured(self, metrics: DatabaseMetrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Brings the metrics of the pool up to date.
    pub fn measure_pool(&self) {
        let Some(metrics) = &self.metrics else { return };
        let (size, idle) = (self.pool.size(), self.pool.num_idle());
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
        let max = self.pool.options().get_max_connections();
        for (state, connections) in [("idle", idle), ("used", size - idle), ("max", max)] {
            let gauge = metrics.connections.with_label_values(&[state]);
            gauge.set(f64::from(connections));
        }
    }

    /// Where the database is, without a word of who we are there.
    pub fn place(&self) -> String {
        let options = self.pool.connect_options();
        let server = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or_default();
        format!("{server}/{database}")
    }

    /// Brings the schema up to date. Safe while other replicas do the same.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATOR
            .run(&self.pool)
            .await
            .map_err(|error| StoreError::new("migrate the schema", error::cause(error)))
    }

    /// Begins a transaction. `operation` completes the sentence "cannot ...": `record evidence`.
    pub async fn begin(&self, operation: &'static str) -> Result<Tx<'static>, StoreError> {
        let operation = Operation::new(operation, self.metrics.clone());
        match self.pool.begin().await {
            Ok(inner) => Ok(Tx::new(inner, operation)),
            Err(source) => Err(operation.failed(source)),
        }
    }

    /// Whether the database answers at all.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("-- store.ping\nselect 1")
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|source| StoreError::new("ask the database for an answer", source))
    }

    /// What the database's clock says, which all replicas go by.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let now: Result<DateTime<Utc>, _> =
            sqlx::query_scalar("-- store.now\nselect clock_timestamp()")
                .fetch_one(&self.pool)
                .await;
        now.map(Timestamp::from)
            .map_err(|source| StoreError::new("read the database's clock", source))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Our queries touch few rows of many partitions. The planner's estimates make Postgres compile such a
/// query for a second (by default, with LLVM) which then runs for 30 ms.
///
/// A replica whose host is gone without a word leaves a transaction behind, and with it locks that all
/// others wait for; none of ours has nothing to say for so long.
async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(concat!(
            "-- connection.set_up\n",
            "set jit = off; set idle_in_transaction_session_timeout = '20s'",
        ))
        .await?;
    Ok(())
}

/// An address that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the database URL: write `postgres://user:password@host:5432/database`")]
pub struct InvalidUrl;

/// A database that vanished without a word, as its host did or a firewall forgot it, leaves connections
/// on which an answer is waited for until TCP gives up, a quarter of an hour later. One that was let go
/// of in the middle of something must not keep its place in the pool for so long.
async fn still_answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    tokio::time::timeout(ANSWERS_WITHIN, connection.ping())
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
        .map(|()| true)
}

//! The connections to the database, divided by use, so that no use can take the connections that
//! another waits for.

use std::{sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _,
    postgres::PgPoolOptions,
};

use super::{
    DatabaseAddress, Session,
    servers::{ServerNeed, Servers},
};
use crate::{
    domain::health::diagnosis::Pooling, store::error::refuses_transactions,
    telemetry::metrics::DatabaseMetrics,
};

/// The time limit of waiting for a connection.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// The time limit of the check of a connection that is returned to its pool, possibly in the middle
/// of a query.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The number of turns of two clients after which each is known to have a connection of its own. On
/// a busy pooler a third may get in between.
const TURNS: u32 = 10;

/// A connection that was used so short a time ago is taken to be alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Evidence that senders wait for, and the heartbeats of replicas.
    Recording,
    /// The periodic work of the service: evaluation, deliveries, self-checks, clean-ups.
    Loops,
    /// Requests of people and programs. Neither their number nor their cost is under the service's
    /// control: a statement that takes longer than five seconds is cancelled.
    Pages,
}

impl ConnectionUse {
    const ALL: [Self; 3] = [Self::Recording, Self::Loops, Self::Pages];

    const fn as_label(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Loops => "loops",
            Self::Pages => "pages",
        }
    }

    /// Returns how many of `connections` are for this use, at least one: a third of them for
    /// recording, a fourth for pages.
    fn share(self, connections: u32) -> u32 {
        let (third, fourth) = ((connections / 3).max(1), (connections / 4).max(1));
        match self {
            Self::Recording => third,
            Self::Pages => fourth,
            Self::Loops => connections.saturating_sub(third + fourth).max(1),
        }
    }

    /// Returns the statements that begin a transaction. Settings are those of the transaction, since
    /// behind a pooler no connection is the service's own. Sent as one, they take one round trip.
    ///
    /// Queries touch few rows of many partitions. The planner's estimates make Postgres compile such a
    /// query for a second (with LLVM, by default) although it then runs for 30 ms.
    ///
    /// A replica whose host vanishes leaves a transaction open, with locks that all others wait
    /// for. No transaction of this service is idle for as long as the time-out.
    const fn begin(self) -> &'static str {
        match self {
            Self::Recording | Self::Loops => concat!(
                "-- transaction.begin\n",
                "begin; set local jit = off; ",
                "set local idle_in_transaction_session_timeout = '20s'",
            ),
            Self::Pages => concat!(
                "-- transaction.begin_for_pages\n",
                "begin; set local jit = off; ",
                "set local idle_in_transaction_session_timeout = '20s'; ",
                "set local statement_timeout = '5s'",
            ),
        }
    }
}

/// A pool for each use. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::store) struct Pools {
    recording: PgPool,
    loops: PgPool,
    pages: PgPool,
    servers: Arc<Servers>,
}

impl Pools {
    pub(in crate::store) fn new(address: DatabaseAddress, connections: u32) -> Self {
        let servers = Servers::new(address);
        let (at_first, later) = (servers.needed_at_first(), servers.needed());
        let pool = |purpose: ConnectionUse| {
            PgPoolOptions::new()
                .max_connections(purpose.share(connections))
                .acquire_timeout(FREE_WITHIN)
                .after_connect(move |connection, _| Box::pin(is_usable(connection, at_first)))
                .test_before_acquire(false)
                .before_acquire(|connection, metadata| {
                    Box::pin(answers(connection, metadata.idle_for))
                })
                .after_release(move |connection, _| Box::pin(can_be_used_again(connection, later)))
                .connect_lazy_with(servers.first().clone())
        };
        Self {
            recording: pool(ConnectionUse::Recording),
            loops: pool(ConnectionUse::Loops),
            pages: pool(ConnectionUse::Pages),
            servers: Arc::new(servers),
        }
    }

    /// Begins a transaction. `and_then` are further statements, in the same round trip.
    pub(in crate::store) async fn begin(
        &self,
        purpose: ConnectionUse,
        and_then: &str,
    ) -> Result<Session<'static>, sqlx::Error> {
        // Made of constants.
        let begin = AssertSqlSafe([purpose.begin(), and_then].concat());
        match self.of(purpose).begin_with(begin).await {
            Ok(transaction) => Ok(Session {
                transaction,
                is_pooled: self.servers.are_pooled(),
            }),
            Err(error) => {
                if self.servers.has_choice() {
                    self.find_server().await;
                }
                Err(error)
            }
        }
    }

    /// Opens a connection that is in no pool.
    pub(in crate::store) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.find_server().await;
        self.loops.connect_options().connect().await
    }

    /// Finds out which of the servers accepts writes, and whether a pooler is in front of it. New
    /// connections then go there; those to another server are closed when they are found unusable. If
    /// none answers, nothing changes.
    async fn find_server(&self) {
        let Some(server) = self.servers.find().await else {
            return;
        };
        for purpose in ConnectionUse::ALL {
            self.of(purpose).set_connect_options(server.clone());
        }
    }

    /// Returns how a pooler shares its connections: two clients that take turns get the same connection
    /// of the server, unless each keeps its own.
    pub(in crate::store) async fn pooling(&self) -> Result<Pooling, sqlx::Error> {
        let mut one = self.connect().await?;
        if !self.servers.are_pooled() {
            return Ok(Pooling::None);
        }
        match one.begin().await {
            Ok(transaction) => transaction.rollback().await?,
            Err(error) if refuses_transactions(&error) => return Ok(Pooling::Statement),
            Err(error) => return Err(error),
        }
        let mut other = self.loops.connect_options().connect().await?;
        for _ in 0..TURNS {
            if server_process(&mut one).await? == server_process(&mut other).await? {
                return Ok(Pooling::Transaction);
            }
        }
        Ok(Pooling::Session)
    }

    pub(in crate::store) const fn of(&self, purpose: ConnectionUse) -> &PgPool {
        match purpose {
            ConnectionUse::Recording => &self.recording,
            ConnectionUse::Loops => &self.loops,
            ConnectionUse::Pages => &self.pages,
        }
    }

    pub(in crate::store) fn measure(&self, metrics: &DatabaseMetrics) {
        for purpose in ConnectionUse::ALL {
            let pool = self.of(purpose);
            let (size, idle) = (pool.size(), pool.num_idle());
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
            let max = pool.options().get_max_connections();
            for (state, connections) in [("idle", idle), ("used", size - idle), ("max", max)] {
                let labels = [purpose.as_label(), state];
                let gauge = metrics.connections.with_label_values(&labels);
                gauge.set(f64::from(connections));
            }
        }
    }

    pub(in crate::store) async fn close(&self) {
        for purpose in ConnectionUse::ALL {
            self.of(purpose).close().await;
        }
    }
}

async fn server_process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let query = sqlx::raw_sql("-- connection.server_process\nselect pg_backend_pid()");
    query.fetch_one(connection).await?.try_get(0)
}

/// Refuses a new connection to a server that accepts no writes, if these are needed.
async fn is_usable(connection: &mut PgConnection, needed: ServerNeed) -> Result<(), sqlx::Error> {
    if needed == ServerNeed::Any || takes_writes(connection).await? {
        return Ok(());
    }
    Err(std::io::Error::other("the server accepts no writes").into())
}

/// Returns whether a connection from its pool can be used. One that was used a moment ago is not
/// asked: each question costs a round trip.
async fn answers(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for >= TRUSTED_FOR {
        connection.ping().await?;
    }
    Ok(true)
}

/// Returns whether a connection may go back to its pool. A database that vanishes, because its host
/// died or a firewall dropped the connection, leaves connections on which a query waits until TCP
/// times out, a quarter of an hour later. One that is returned in the middle of a query must not
/// occupy its slot in the pool for so long.
///
/// A connection that cannot write is also closed. It stays read-only even after the database
/// accepts writes again, since a session keeps the setting that it began with, and after a failover
/// the address may lead to another server.
async fn can_be_used_again(
    connection: &mut PgConnection,
    needed: ServerNeed,
) -> Result<bool, sqlx::Error> {
    let takes_writes = tokio::time::timeout(ANSWERS_WITHIN, takes_writes(connection))
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))?;
    Ok(takes_writes || needed == ServerNeed::Any)
}

/// Returns whether the server accepts writes. A query without parameters is a transaction of its
/// own, also behind a pooler.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = sqlx::raw_sql(concat!(
        "-- connection.takes_writes\n",
        "select not current_setting('transaction_read_only')::boolean",
    ));
    query.fetch_one(connection).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_connections_and_together_no_more_than_there_may_be() {
        for connections in 4..100 {
            let shares = ConnectionUse::ALL.map(|purpose| purpose.share(connections));
            assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
            assert_eq!(shares.iter().sum::<u32>(), connections);
        }
        assert_eq!(
            ConnectionUse::ALL.map(|purpose| purpose.share(12)),
            [4, 5, 3]
        );
    }
}

//! The connections to the database, divided by use, so that no use can take the connections that
//! another waits for.

use std::time::Duration;

use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::telemetry::metrics::DatabaseMetrics;

/// The time limit of waiting for a connection.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// The time limit of the check of a connection that is returned to its pool, possibly in the middle
/// of a query.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

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

    /// Returns the settings of a session. Queries touch few rows of many partitions. The planner's
    /// estimates make Postgres compile such a query for a second (with LLVM, by default) although
    /// it then runs for 30 ms.
    ///
    /// A replica whose host vanishes leaves a transaction open, with locks that all others wait
    /// for. No transaction of this service is idle for as long as the time-out.
    const fn set_up(self) -> &'static str {
        match self {
            Self::Recording | Self::Loops => concat!(
                "-- connection.set_up\n",
                "set jit = off; set idle_in_transaction_session_timeout = '20s'",
            ),
            Self::Pages => concat!(
                "-- connection.set_up_for_pages\n",
                "set jit = off; set idle_in_transaction_session_timeout = '20s'; ",
                "set statement_timeout = '5s'",
            ),
        }
    }
}

/// A pool for each use. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    recording: PgPool,
    loops: PgPool,
    pages: PgPool,
}

impl Pools {
    pub(super) fn new(options: PgConnectOptions, connections: u32) -> Self {
        let pool = |purpose: ConnectionUse, options| {
            PgPoolOptions::new()
                .max_connections(purpose.share(connections))
                .acquire_timeout(FREE_WITHIN)
                .after_connect(move |connection, _| Box::pin(set_up(connection, purpose)))
                .test_before_acquire(false)
                .before_acquire(|connection, metadata| {
                    Box::pin(answers(connection, metadata.idle_for))
                })
                .after_release(|connection, _| Box::pin(can_be_used_again(connection)))
                .connect_lazy_with(options)
        };
        Self {
            recording: pool(ConnectionUse::Recording, options.clone()),
            loops: pool(ConnectionUse::Loops, options.clone()),
            pages: pool(ConnectionUse::Pages, options),
        }
    }

    pub(super) const fn of(&self, purpose: ConnectionUse) -> &PgPool {
        match purpose {
            ConnectionUse::Recording => &self.recording,
            ConnectionUse::Loops => &self.loops,
            ConnectionUse::Pages => &self.pages,
        }
    }

    pub(super) fn measure(&self, metrics: &DatabaseMetrics) {
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

    pub(super) async fn close(&self) {
        for purpose in ConnectionUse::ALL {
            self.of(purpose).close().await;
        }
    }
}

async fn set_up(connection: &mut PgConnection, purpose: ConnectionUse) -> Result<(), sqlx::Error> {
    connection.execute(purpose.set_up()).await.map(drop)
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
async fn can_be_used_again(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let takes_writes = sqlx::query_scalar(concat!(
        "-- connection.takes_writes\n",
        "select not current_setting('transaction_read_only')::boolean",
    ))
    .fetch_one(connection);
    tokio::time::timeout(ANSWERS_WITHIN, takes_writes)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
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

//! The connections to the database, divided by use: what one use waits for is never taken by another.

use std::time::Duration;

use sqlx::{
    Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::telemetry::metrics::DatabaseMetrics;

/// How long a connection is waited for.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take to end what it was let go of in the middle of.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Evidence that senders wait for, and the signs of life of the receiver.
    Recording,
    /// Everything that the service does by itself: evaluation, deliveries, self-checks, clean-up.
    Loops,
    /// What people and programs ask for. Their number is not ours to choose, nor how much they ask for:
    /// a statement that takes longer than five seconds is cancelled.
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

    /// How many of `connections` are for it, one at least: half of them for the loops.
    fn share(self, connections: u32) -> u32 {
        let fourth = (connections / 4).max(1);
        match self {
            Self::Recording | Self::Pages => fourth,
            Self::Loops => connections.saturating_sub(2 * fourth).max(1),
        }
    }

    /// Our queries touch few rows of many partitions. The planner's estimates make Postgres compile
    /// such a query for a second (by default, with LLVM) which then runs for 30 ms.
    ///
    /// A replica whose host is gone without a word leaves a transaction behind, and with it locks that
    /// all others wait for; none of ours has nothing to say for so long.
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

/// A pool for each purpose. Clones share them.
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

/// A database that vanished without a word, as its host did or a firewall forgot it, leaves connections
/// on which an answer is waited for until TCP gives up, a quarter of an hour later. One that was let go
/// of in the middle of something must not keep its place in the pool for so long.
///
/// Nor must one that cannot write: it stays so although the database takes writes again, since a session
/// keeps the setting that it began with, and an address may lead to another server after a failover.
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
            [3, 6, 3]
        );
    }
}

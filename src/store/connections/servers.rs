//! The servers of one database: which of them accepts writes, and whether a pooler is in front of them.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Error, PgConnection, Row as _, postgres::PgConnectOptions,
};
use tokio::{sync::Mutex, task::JoinSet};

use super::DatabaseAddress;

/// The time limit of asking a server what it is.
const ASKED_WITHIN: Duration = Duration::from_secs(2);

/// The name of a setting and its value.
type Mark = (&'static str, &'static str);

/// A setting of the session. A pooler rejects it or drops it, since clients do not own its sessions
/// with the server.
const SESSION_MARK: Mark = ("throughline.session", "on");

/// All servers of an address, and their state.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<PgConnectOptions>,
    is_said_to_be_pooled: bool,
    needed: ServerNeed,
    are_pooled: AtomicBool,
    chosen: AtomicUsize,
    /// Held while they are asked.
    asking: Mutex<()>,
}

/// The requirement of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerNeed {
    Any,
    Writes,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ServerState {
    takes_writes: bool,
    is_pooled: bool,
}

impl Servers {
    pub(super) fn new(address: DatabaseAddress) -> Self {
        Self {
            all: address.servers,
            is_said_to_be_pooled: address.is_pooled,
            needed: if address.is_for_reading {
                ServerNeed::Any
            } else {
                ServerNeed::Writes
            },
            are_pooled: AtomicBool::new(address.is_pooled),
            chosen: AtomicUsize::new(0),
            asking: Mutex::new(()),
        }
    }

    pub(super) fn has_choice(&self) -> bool {
        self.all.len() > 1
    }

    /// Returns what a connection must do to be used again.
    pub(super) const fn needed(&self) -> ServerNeed {
        self.needed
    }

    pub(super) fn are_pooled(&self) -> bool {
        self.are_pooled.load(Ordering::Relaxed)
    }

    pub(super) fn first(&self) -> &PgConnectOptions {
        // An address has at least one server.
        &self.all[0]
    }

    /// Returns what a new connection must do: one to the only server there is need not accept writes yet.
    pub(super) fn needed_at_first(&self) -> ServerNeed {
        if self.has_choice() {
            self.needed
        } else {
            ServerNeed::Any
        }
    }

    /// Asks all servers at once, and returns the first that accepts writes, if that matters. `None` if none answers, or while another asks.
    pub(super) async fn find(&self) -> Option<&PgConnectOptions> {
        let _asking = self.asking.try_lock().ok()?;
        let (states, needed) = (self.states().await, self.needed_at_first());
        let found = states.iter().position(|state| {
            state.is_some_and(|state| state.takes_writes || needed == ServerNeed::Any)
        })?;
        let is_pooled = states.get(found).copied().flatten()?.is_pooled;
        let server = self.all.get(found)?;
        let before = self.chosen.swap(found, Ordering::Relaxed);
        if before != found {
            tracing::warn!(
                server = %format_args!("{}:{}", server.get_host(), server.get_port()),
                "another server of the database accepts writes now"
            );
        }
        if is_pooled && !self.are_pooled.swap(is_pooled, Ordering::Relaxed) {
            tracing::info!("a pooler is in front of the database: statements are not prepared");
        }
        Some(server)
    }

    /// Returns the state of each server, in their order; `None` of one that does not answer.
    async fn states(&self) -> Vec<Option<ServerState>> {
        let mut asked = JoinSet::new();
        let mark = (!self.is_said_to_be_pooled).then_some(SESSION_MARK);
        for (nth, server) in self.all.iter().cloned().enumerate() {
            asked.spawn(async move {
                let state = tokio::time::timeout(ASKED_WITHIN, ask(&server, mark)).await;
                (nth, state.ok().and_then(Result::ok))
            });
        }
        let mut states: Vec<_> = asked.join_all().await;
        states.sort_unstable_by_key(|(nth, _)| *nth);
        states.into_iter().map(|(_, state)| state).collect()
    }
}

async fn ask(server: &PgConnectOptions, mark: Option<Mark>) -> Result<ServerState, Error> {
    let mut connection = connect(server, mark).await?;
    // A query without parameters is a transaction of its own, also behind a pooler.
    let query = sqlx::raw_sql(concat!(
        "-- server.state\n",
        "select not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean, ",
        "current_setting('throughline.session', true) is distinct from 'on'",
    ));
    let row = query.fetch_one(&mut connection).await?;
    let state = ServerState {
        takes_writes: row.try_get(0)?,
        is_pooled: row.try_get(1)?,
    };
    connection.close().await?;
    Ok(state)
}

/// Connects with the mark, or without it if that is refused.
async fn connect(server: &PgConnectOptions, mark: Option<Mark>) -> Result<PgConnection, Error> {
    let Some(mark) = mark else {
        return server.connect().await;
    };
    match server.clone().options([mark]).connect().await {
        Err(Error::Database(error)) if is_of_startup(error.code().as_deref()) => {
            server.connect().await
        }
        result => result,
    }
}

/// Returns whether a connection was refused because of its parameters: `protocol_violation`, which
/// `PgBouncer` uses, and `feature_not_supported`.
fn is_of_startup(code: Option<&str>) -> bool {
    matches!(code, Some("08P01" | "0A000"))
}

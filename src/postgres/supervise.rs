//! The thread that prepares the server, starts it, restarts it when it dies, and stops it.
//!
//! Everything here blocks, on purpose: the thread has nothing else to do. Its only order is to
//! stop, which is given by dropping the sender, so it cannot be forgotten.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::binaries::Binaries;
use super::folder::Folder;
use super::log::ServerLog;
use super::process::account::Account;
use super::process::postmaster::Postmaster;
use super::socket::{Connection, SocketFolder};
use super::{Durability, PostgresSettings, StartError, State, StopError, cluster};

/// The interval at which the thread checks whether the server is still running.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A death after this long is a new failure, not a repetition of the last.
const STEADY: Duration = Duration::from_mins(1);

/// The type of messages to the thread: there are none; it stops when the sender is dropped.
pub(super) type Never = std::convert::Infallible;

/// The channels on which the thread reports the state of the server.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) started: oneshot::Sender<Result<Started, StartError>>,
    pub(super) state: watch::Sender<State>,
    pub(super) stopped: oneshot::Sender<Result<(), StopError>>,
}

#[derive(Debug)]
pub(super) struct Started {
    pub(super) connection: Connection,
    pub(super) folder: std::path::PathBuf,
}

/// Everything that is needed to start a server repeatedly.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) log: ServerLog,
    pub(super) durability: Durability,
    // Last, since the lock must be released last.
    pub(super) socket: SocketFolder,
    pub(super) folder: Folder,
}

impl Site {
    fn prepare(settings: &PostgresSettings) -> Result<Self, StartError> {
        let folder = Folder::open(settings)?;
        let data = folder.data();
        let account = Account::choose(&data)?;
        account.check_can_enter(folder.path())?;
        let made_by = cluster::made_by(&data)?;
        let found = Binaries::find(&settings.search_path, &account);
        let binaries = Binaries::choose(found, folder.path(), made_by)?;
        if made_by.is_none() {
            tracing::info!(folder = %folder.path().display(), "creating a new database");
            cluster::make(&folder, &binaries, &account, settings.durability)?;
        }
        Ok(Self {
            log: ServerLog::open(&folder.log())?,
            socket: SocketFolder::make(&folder, settings, &account)?,
            durability: settings.durability,
            binaries,
            account,
            folder,
        })
    }

    fn start(&self, orders: &Receiver<Never>) -> Result<Postmaster, StartError> {
        let mut server = Postmaster::launch(self)?;
        if let Err(error) = server.wait_until_ready(self, orders) {
            server.stop_or_warn();
            return Err(error);
        }
        Ok(server)
    }
}

/// Runs the thread.
pub(super) fn run(settings: &PostgresSettings, orders: &Receiver<Never>, reports: Reports) {
    let Reports {
        started,
        state,
        stopped,
    } = reports;
    let first = Site::prepare(settings).and_then(|site| {
        let server = site.start(orders)?;
        Ok((site, server))
    });
    let (site, server) = match first {
        Ok(up) => up,
        Err(error) => {
            // The receiver may be gone: then the error is of no use.
            drop(started.send(Err(error)));
            return;
        }
    };
    state.send_replace(State::Ready);
    let greeting = Started {
        connection: site.socket.connection(),
        folder: site.folder.path().to_path_buf(),
    };
    drop(started.send(Ok(greeting)));
    let last = keep_running(&site, server, orders, &state);
    let ended = last.map_or(Ok(()), Postmaster::stop);
    let Site { socket, folder, .. } = site;
    drop(socket);
    let closed = folder.close();
    state.send_replace(State::Stopped);
    drop(stopped.send(ended.and(closed)));
}

/// Returns when it is ordered to stop, with the server that is running then.
fn keep_running(
    site: &Site,
    mut server: Postmaster,
    orders: &Receiver<Never>,
    state: &watch::Sender<State>,
) -> Option<Postmaster> {
    let mut deaths = 0;
    loop {
        let since = Instant::now();
        let how = loop {
            if stop_ordered_within(orders, POLL_INTERVAL) {
                return Some(server);
            }
            if let Some(how) = server.ended() {
                break how;
            }
        };
        if since.elapsed() >= STEADY {
            deaths = 0;
        }
        tracing::error!(status = how, log = %site.log.path().display(), "the database server died");
        server = restart(site, orders, state, &mut deaths)?;
        tracing::info!(deaths, "the database server is back");
        state.send_replace(State::Ready);
    }
}

/// Retries until the server is up; `None` when ordered to stop.
fn restart(
    site: &Site,
    orders: &Receiver<Never>,
    state: &watch::Sender<State>,
    deaths: &mut u32,
) -> Option<Postmaster> {
    loop {
        *deaths = deaths.saturating_add(1);
        state.send_replace(State::Restarting { deaths: *deaths });
        if stop_ordered_within(orders, delay_before_restart(*deaths)) {
            return None;
        }
        match site.start(orders) {
            Ok(server) => return Some(server),
            Err(StartError::GivenUp) => return None,
            Err(error) => tracing::error!(%error, "could not restart the database server"),
        }
    }
}

/// Returns a delay that doubles with each death in a row.
fn delay_before_restart(deaths: u32) -> Duration {
    let doublings = deaths.saturating_sub(1).min(16);
    (FIRST_DELAY * 2u32.pow(doublings)).min(LONGEST_DELAY)
}

/// Waits for `patience`, or less if the order to stop is given.
pub(super) fn stop_ordered_within(orders: &Receiver<Never>, patience: Duration) -> bool {
    matches!(
        orders.recv_timeout(patience),
        Err(RecvTimeoutError::Disconnected)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_death_in_a_row_waits_twice_as_long_up_to_a_limit() {
        let delays = [1, 2, 3, 4].map(|deaths| delay_before_restart(deaths).as_millis());
        assert_eq!(delays, [200, 400, 800, 1600]);
        assert_eq!(delay_before_restart(u32::MAX), LONGEST_DELAY);
    }
}

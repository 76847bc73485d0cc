//! The embedded server as the rest of the program uses it.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::socket::Connection;
use super::supervise::{self, Never, Reports, Started};
use super::{PostgresSettings, StartError, StopError};

/// The time for which dropping a server may block.
const PATIENCE_ON_DROP: Duration = Duration::from_secs(10);

/// A running server. Call [`EmbeddedServer::stop`] to end it; dropping it does the same, but blocks
/// and reports no error.
#[derive(Debug)]
pub struct EmbeddedServer {
    connection: Connection,
    folder: PathBuf,
    state: watch::Receiver<State>,
    stopped: oneshot::Receiver<Result<(), StopError>>,
    thread: Supervisor,
}

/// The state of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Starting,
    Ready,
    /// It died, `deaths` times in a row, and is being restarted. What was committed is still there.
    Restarting {
        deaths: u32,
    },
    Stopped,
}

impl EmbeddedServer {
    /// Finds or creates the database, starts the server and waits until it accepts connections:
    /// seconds when new, but after a crash as long as its recovery takes.
    ///
    /// If the future is dropped before it is done, the server is stopped again.
    pub async fn start(settings: &PostgresSettings) -> Result<Self, StartError> {
        let (report_start, started) = oneshot::channel();
        let (report_stop, stopped) = oneshot::channel();
        let (report_state, state) = watch::channel(State::Starting);
        let reports = Reports {
            started: report_start,
            state: report_state,
            stopped: report_stop,
        };
        let thread = Supervisor::spawn(settings.clone(), reports)?;
        let Started { connection, folder } = started.await.map_err(|_| StartError::GivenUp)??;
        Ok(Self {
            connection,
            folder,
            state,
            stopped,
            thread,
        })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn connection_url(&self) -> String {
        self.connection.url()
    }

    /// Returns the folder with everything that belongs to the database; the cluster is in `data`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a channel of the server's deaths and restarts. A connection pool needs no help: it
    /// reconnects.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops the server: sessions are terminated, what was committed is written to disk. If that
    /// takes more than 20 seconds it is stopped immediately, and recovers at the next start.
    pub async fn stop(mut self) -> Result<(), StopError> {
        self.thread.order_stop();
        let outcome = (&mut self.stopped).await;
        outcome.unwrap_or(Err(StopError::ThreadGone))
    }
}

/// The thread of [`supervise::run`], which stops when this is dropped.
#[derive(Debug)]
struct Supervisor {
    orders: Option<mpsc::Sender<Never>>,
    thread: JoinHandle<()>,
}

impl Supervisor {
    fn spawn(settings: PostgresSettings, reports: Reports) -> Result<Self, StartError> {
        let (orders, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || supervise::run(&settings, &received, reports))
            .map_err(StartError::Thread)?;
        Ok(Self {
            orders: Some(orders),
            thread,
        })
    }

    fn order_stop(&mut self) {
        self.orders = None;
    }
}

impl Drop for Supervisor {
    /// Waits for a while: a process that drops a server is often about to exit, and would leave a
    /// temporary folder behind.
    fn drop(&mut self) {
        self.order_stop();
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while !self.thread.is_finished() && waited < PATIENCE_ON_DROP {
            thread::sleep(step);
            waited += step;
        }
    }
}

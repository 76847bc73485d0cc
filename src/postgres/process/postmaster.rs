//! One run of the server's process, from its start to its end.

use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::{
    WAYS_TO_STOP,
    leftover::{self, PidFile},
    spawn,
};
use crate::postgres::{
    StartError, StopError,
    cluster::server_arguments,
    supervise::{Never, Site, stop_ordered_within},
};

const POLL_INTERVAL_WHILE_STARTING: Duration = Duration::from_millis(20);
const POLL_INTERVAL_WHILE_STOPPING: Duration = Duration::from_millis(5);
const REPORT_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Postmaster(Child);

impl Postmaster {
    /// Starts the server. It does not accept connections yet.
    pub(crate) fn launch(site: &Site) -> Result<Self, StartError> {
        let data = site.folder.data();
        leftover::stop(&data)?;
        let program = site.binaries.postgres();
        let mut child = spawn::command(&program, &site.account)
            .args(server_arguments(&data, site.socket.path(), site.durability))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(StartError::io("run the program", &program))?;
        let output = child.stderr.take();
        let launched = Self(child);
        if let Some(output) = output
            && let Err(error) = site.log.follow(output)
        {
            launched.stop_or_warn();
            return Err(error);
        }
        Ok(launched)
    }

    /// Waits without a limit: after a crash the server may have hours of work to redo.
    pub(crate) fn wait_until_ready(
        &mut self,
        site: &Site,
        orders: &Receiver<Never>,
    ) -> Result<(), StartError> {
        let since = Instant::now();
        let mut reported = since;
        loop {
            if let Some(status) = self.ended() {
                return Err(StartError::Ended {
                    status,
                    output: site.log.last_lines(),
                    log: site.log.path(),
                });
            }
            if self.accepts_connections(site) {
                return Ok(());
            }
            if stop_ordered_within(orders, POLL_INTERVAL_WHILE_STARTING) {
                return Err(StartError::GivenUp);
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                let last = site.log.last_lines();
                tracing::info!(waited = ?since.elapsed(), last, "the database server is still starting");
            }
        }
    }

    fn accepts_connections(&self, site: &Site) -> bool {
        PidFile::read(&site.folder.data())
            .is_some_and(|file| file.pid == self.pid().as_raw() && file.accepts_connections)
    }

    /// Returns how the server ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match self.0.try_wait() {
            Ok(status) => status.as_ref().map(ExitStatus::to_string),
            // The child was already reaped elsewhere: it has ended, and its status is lost.
            Err(error) => Some(error.to_string()),
        }
    }

    pub(crate) fn stop(mut self) -> Result<(), StopError> {
        if self.ended().is_some() {
            return Ok(());
        }
        for (signal, patience) in WAYS_TO_STOP {
            // Not reaped yet, so the id is still the child's.
            if let Err(error) = kill(self.pid(), signal) {
                tracing::warn!(%signal, %error, "could not signal the database server");
            }
            if self.ends_within(patience) {
                let clean = (signal == Signal::SIGINT).then_some(());
                return clean.ok_or(StopError::NotClean);
            }
        }
        Err(StopError::NotClean)
    }

    pub(crate) fn stop_or_warn(self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "stopped the database server");
        }
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        let since = Instant::now();
        while self.ended().is_none() {
            if since.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(POLL_INTERVAL_WHILE_STOPPING);
        }
        true
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }
}

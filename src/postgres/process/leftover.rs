//! Stops the server that a killed manager left behind, and removes a stale `postmaster.pid`.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::WAYS_TO_STOP;
use crate::postgres::StartError;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The contents of a running server's `postmaster.pid` in its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    pub(crate) accepts_connections: bool,
}

impl PidFile {
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// Parses line 1, the process id, and line 8, the status (`src/include/utils/pidfile.h`).
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        let status = lines.nth(6).unwrap_or_default().trim();
        Some(Self {
            pid,
            accepts_connections: status == "ready",
        })
    }
}

/// The process that now has the id in `postmaster.pid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    OurServer,
    OtherServer,
    Unrelated,
}

/// Stops any server that runs on `data`. The caller must hold the folder's lock.
pub(crate) fn stop(data: &Path) -> Result<(), StartError> {
    let Some(PidFile { pid, .. }) = PidFile::read(data) else {
        return Ok(());
    };
    match holder(pid, data) {
        // The server itself overwrites the file of a process that no longer exists. And another
        // server may use this database under another path: then Postgres' own checks refuse the new
        // one.
        Holder::Nobody | Holder::OtherServer => Ok(()),
        Holder::Unrelated => {
            // The id was reused, after a reboot or in a new container. Postgres would mistake that
            // process for a server and refuse to start.
            let path = data.join("postmaster.pid");
            tracing::info!(path = %path.display(), pid, "removing a stale file: its process is not a server");
            fs::remove_file(&path).map_err(StartError::io("remove the stale", &path))
        }
        Holder::OurServer => stop_server(pid, data),
    }
}

fn stop_server(pid: i32, data: &Path) -> Result<(), StartError> {
    tracing::warn!(
        pid,
        "stopping a database server that a killed throughline left behind"
    );
    for (signal, patience) in WAYS_TO_STOP {
        // An error means that it has just ended, or that this user may not stop it: the wait below
        // decides.
        if kill(Pid::from_raw(pid), signal).is_err() {
            tracing::debug!(pid, %signal, "could not be sent");
        }
        let mut waited = Duration::ZERO;
        while waited < patience {
            if holder(pid, data) != Holder::OurServer {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
            waited += POLL_INTERVAL;
        }
    }
    Err(StartError::Leftover { pid })
}

fn holder(pid: i32, data: &Path) -> Holder {
    // A process that has ended but was not yet reaped has no arguments left.
    let Some(arguments) = arguments(pid).filter(|arguments| !arguments.is_empty()) else {
        return Holder::Nobody;
    };
    identify(&arguments, data)
}

/// Identifies a process by its arguments: a server's program is `postgres`, and it is this
/// database's if it was started on the same data directory in the same way, with the whole path.
fn identify(arguments: &[String], data: &Path) -> Holder {
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    if !program.is_some_and(|name| name == "postgres" || name == "postmaster") {
        return Holder::Unrelated;
    }
    if arguments.iter().any(|argument| Path::new(argument) == data) {
        Holder::OurServer
    } else {
        Holder::OtherServer
    }
}

/// Returns the arguments of a process. They are used instead of the working directory in `/proc`,
/// which in a container even root may not see.
#[cfg(target_os = "linux")]
fn arguments(pid: i32) -> Option<Vec<String>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = line.split(|byte| *byte == 0).filter(|one| !one.is_empty());
    Some(
        arguments
            .map(|one| String::from_utf8_lossy(one).into_owned())
            .collect(),
    )
}

#[cfg(not(target_os = "linux"))]
fn arguments(pid: i32) -> Option<Vec<String>> {
    let answer = std::process::Command::new("/bin/ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = String::from_utf8_lossy(&answer.stdout);
    // Arguments are not separated here: they are split before each option, so that a path may
    // contain spaces.
    let mut arguments = Vec::new();
    for (at, part) in line.trim().split(" -").enumerate() {
        match part.split_once(' ').filter(|_| at > 0) {
            Some((_, value)) => arguments.push(value.to_owned()),
            None => arguments.push(part.to_owned()),
        }
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4711\n/data\n1700000000\n5432\n/socket\n\n 123 456\nready   \n";

    #[test]
    fn a_server_is_ready_when_its_eighth_line_says_so() {
        let ready = PidFile {
            pid: 4711,
            accepts_connections: true,
        };
        assert_eq!(PidFile::parse(READY), Some(ready));
        for text in [READY.replace("ready   ", "starting"), "4711\n".to_owned()] {
            let starting = PidFile {
                accepts_connections: false,
                ..ready
            };
            assert_eq!(PidFile::parse(&text), Some(starting));
        }
    }

    #[test]
    fn a_file_without_a_process_id_tells_nothing() {
        for text in ["", "x\n", "0\n", "-4711\n"] {
            assert_eq!(PidFile::parse(text), None);
        }
    }

    #[test]
    fn a_server_is_ours_by_its_data_directory() {
        let identify = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
            identify(&arguments, Path::new("/data"))
        };
        let program = "/usr/lib/postgresql/15/bin/postgres";
        assert_eq!(identify(&[program, "-D", "/data"]), Holder::OurServer);
        assert_eq!(identify(&[program, "-D", "/data2"]), Holder::OtherServer);
        assert_eq!(identify(&["less", "/data"]), Holder::Unrelated);
    }

    #[test]
    fn a_process_id_given_away_again_leaves_a_stale_file() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("postmaster.pid");
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        stop(data.path()).unwrap();
        assert!(!file.exists());
    }
}

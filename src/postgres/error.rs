//! Errors of the embedded server, each with the next step.

use std::io;
use std::path::{Path, PathBuf};

use super::binaries::OLDEST_MAJOR;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "no PostgreSQL server of version {OLDEST_MAJOR} or newer found: install one with `{install}`, or name a running one with a database URL"
    )]
    NoBinaries { install: &'static str },
    #[error(
        "the database in `{folder}` was created by PostgreSQL {needed}, but only {found} is installed: install PostgreSQL {needed} beside it, or choose another data folder"
    )]
    NoFittingBinaries {
        folder: PathBuf,
        needed: u32,
        found: String,
    },
    #[error(
        "another throughline (process `{holder}`) already runs the database in `{folder}`: stop it, or choose another data folder for this one"
    )]
    InUse { folder: PathBuf, holder: String },
    #[error(
        "the database server refuses to run as root, and there is neither an account `postgres` nor `nobody` to run it: make one with `useradd --system postgres`"
    )]
    NoAccount,
    #[error(
        "the account `{account}`, which runs the database server, cannot enter `{folder}`: allow it with `chmod a+x {folder}`, or choose another folder"
    )]
    NotEnterable { account: String, folder: PathBuf },
    #[error(
        "the database in `{folder}` belongs to another user (uid {owner}): run as that user, or choose another data folder"
    )]
    WrongOwner { folder: PathBuf, owner: u32 },
    #[error(
        "`{folder}` is itself a PostgreSQL data directory, which another server may use: choose a folder that only throughline uses"
    )]
    ForeignCluster { folder: PathBuf },
    #[error(
        "`{folder}` is not a complete database: move it away, and the next start creates a new one"
    )]
    NotACluster { folder: PathBuf },
    #[error(
        "the socket path `{path}` is longer than the {limit} bytes a Unix socket may have: choose a shorter temp folder with `TMPDIR`"
    )]
    SocketPathTooLong { path: PathBuf, limit: usize },
    #[error("could not {action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{program}` could not create a database ({status}): {output}")]
    Initdb {
        program: PathBuf,
        status: String,
        output: String,
    },
    #[error("the database server ended while it was starting ({status}): {output}; see `{log}`")]
    Ended {
        status: String,
        output: String,
        log: PathBuf,
    },
    #[error(
        "the server that a killed throughline left behind (process `{pid}`) does not end: stop it with `kill -QUIT {pid}`"
    )]
    Leftover { pid: i32 },
    #[error("the start of the database server was aborted")]
    GivenUp,
    #[error("could not start a thread to monitor the database server")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// For `map_err` at a file operation: the action and the path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error(
        "the database server did not end in time and was stopped immediately: nothing committed is lost, the next start takes longer while it recovers"
    )]
    NotClean,
    #[error("could not remove the throwaway database in `{folder}`: remove it by hand")]
    NotRemoved { folder: PathBuf, source: io::Error },
    #[error("the thread that monitors the database server has ended: see the log for its panic")]
    ThreadGone,
}

//! The embedded Postgres: a child process for users without a database.
//!
//! With it there is one SQL dialect and one code path everywhere. The server's own programs are
//! found on the machine (`binaries`), a cluster is created once (`cluster`) in a folder that only
//! one manager may hold (`folder`), and one thread (`supervise`) starts the server, monitors it,
//! restarts it when it dies and stops it. That thread lives as long as the server, because Linux
//! ties the server's life to the *thread* that started it (`spawn`).
//!
//! It is reachable only through a Unix socket in a private folder; there is no TCP port. Postgres
//! refuses to run as root, so as root the server runs as `postgres` or `nobody` (`account`). A
//! server left behind by a killed manager is stopped before a new start (`leftover`).
//!
//! Not the crate `postgresql_embedded`: it downloads its programs from the network, uses TCP, does
//! not run as root, and neither restarts a dead server nor ends with a killed manager.

mod binaries;
mod cluster;
mod error;
mod folder;
mod log;
mod process;
mod server;
mod socket;
mod supervise;

use std::ffi::OsString;
use std::path::PathBuf;

pub use error::{StartError, StopError};
pub use server::{EmbeddedServer, State};
pub use socket::Connection;

/// The settings of the embedded server.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    pub data_dir: DataDir,
    pub durability: Durability,
    /// Folders to search for the server's programs before the usual ones: those of `PATH`.
    pub search_path: Vec<PathBuf>,
    /// The parent of a temporary data folder, and of a socket whose path would otherwise be too
    /// long.
    pub temp_dir: PathBuf,
}

impl PostgresSettings {
    /// Returns the settings of a permanent database in `folder`.
    pub fn keep(folder: impl Into<PathBuf>) -> Self {
        Self::with(DataDir::Keep(folder.into()), Durability::Durable)
    }

    /// Returns the settings of a database that is removed after [`EmbeddedServer::stop`].
    pub fn throwaway() -> Self {
        Self::with(DataDir::Throwaway, Durability::Fast)
    }

    fn with(data_dir: DataDir, durability: Durability) -> Self {
        Self {
            data_dir,
            durability,
            search_path: Vec::new(),
            temp_dir: std::env::temp_dir(),
        }
    }
}

/// The location and lifetime of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// In this folder, created at the first start. It is used exclusively: cluster, socket, log and
    /// lock.
    Keep(PathBuf),
    /// In a new folder under the temporary folder, removed on stop.
    Throwaway,
}

/// The data that a power cut may destroy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything. Right for a temporary database: nothing waits for the disk. A killed *server*
    /// still loses no more than the last fraction of a second.
    Fast,
}

/// Returns the default location of the database: `None` without a home directory.
///
/// `uid` is the effective user, the others are the environment's `XDG_DATA_HOME` and `HOME`.
pub fn default_data_dir(
    uid: u32,
    xdg_data_home: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    if uid == 0 {
        return Some(PathBuf::from("/var/lib/throughline/postgres"));
    }
    // A relative XDG path must be ignored (XDG Base Directory Specification, "Basics").
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg_data_home
        .and_then(absolute)
        .or_else(|| Some(home.and_then(absolute)?.join(".local/share")))
        .map(|data| data.join("throughline/postgres"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir(uid: u32, xdg: Option<&str>, home: Option<&str>) -> Option<String> {
        let dir = default_data_dir(uid, xdg.map(OsString::from), home.map(OsString::from))?;
        Some(dir.display().to_string())
    }

    #[test]
    fn root_keeps_its_data_where_every_account_can_enter() {
        let dir = data_dir(0, Some("/root/data"), Some("/root"));
        assert_eq!(dir.as_deref(), Some("/var/lib/throughline/postgres"));
    }

    #[test]
    fn others_keep_it_where_xdg_says() {
        let dir = data_dir(1000, Some("/data"), Some("/home/ann"));
        assert_eq!(dir.as_deref(), Some("/data/throughline/postgres"));
    }

    #[test]
    fn an_unset_empty_or_relative_xdg_falls_back_to_home() {
        for xdg in [None, Some(""), Some("data")] {
            let dir = data_dir(1000, xdg, Some("/home/ann"));
            assert_eq!(
                dir.as_deref(),
                Some("/home/ann/.local/share/throughline/postgres")
            );
        }
    }

    #[test]
    fn without_a_home_there_is_no_default() {
        assert_eq!(data_dir(1000, None, None), None);
    }
}

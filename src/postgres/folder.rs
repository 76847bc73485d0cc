//! The folder that one embedded database has for itself, and the lock that excludes others.
//!
//! `lock`, `log/` and the folder itself keep their owner, also if that is root: only `data/` and
//! `socket/` are given to the server's account, so that it cannot redirect writes of this process
//! by a link.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, geteuid};

use super::{DataDir, PostgresSettings, StartError, StopError, process::leftover};

/// The prefix of names under the temporary folder; the process id and a number follow.
const FRESH_PREFIX: &str = "throughline-";

/// The locked folder, held as long as the server may run. A temporary folder is removed with it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fate: Lifetime,
    _lock: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Stays,
    Goes,
}

impl Folder {
    pub(super) fn open(settings: &PostgresSettings) -> Result<Self, StartError> {
        let (path, fate) = match &settings.data_dir {
            DataDir::Keep(path) => (make_kept(path)?, Lifetime::Stays),
            DataDir::Throwaway => {
                remove_abandoned(&settings.temp_dir);
                (
                    make_fresh(&settings.temp_dir, enterable_mode())?,
                    Lifetime::Goes,
                )
            }
        };
        let lock = lock(&path)?;
        Ok(Self {
            path,
            fate,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the cluster: Postgres' own data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Returns the folder in which a cluster is created until it is complete.
    pub(super) fn half_made(&self) -> PathBuf {
        self.path.join("data.half-made")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Releases the folder, and removes a temporary one.
    pub(super) fn close(mut self) -> Result<(), StopError> {
        self.remove_if_throwaway()
            .map_err(|source| StopError::NotRemoved {
                folder: self.path.clone(),
                source,
            })
    }

    fn remove_if_throwaway(&mut self) -> io::Result<()> {
        if self.fate == Lifetime::Stays {
            return Ok(());
        }
        self.fate = Lifetime::Stays;
        fs::remove_dir_all(&self.path)
    }
}

/// If a start fails half-way, an error can only be logged.
impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.remove_if_throwaway() {
            tracing::warn!(folder = %self.path.display(), %error, "could not remove a throwaway database");
        }
    }
}

/// Creates a private folder with a unique name under `temp`.
pub(super) fn make_fresh(temp: &Path, mode: u32) -> Result<PathBuf, StartError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let temp = temp
        .canonicalize()
        .map_err(StartError::io("find the temp folder", temp))?;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = temp.join(format!("{FRESH_PREFIX}{}-{number}", std::process::id()));
        // An existing folder belongs to its creator, so it is never reused.
        match make(&path, mode) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StartError::io("make the folder", &path)(error)),
        }
    }
}

/// Creates a folder with exactly this mode: the user's umask may forbid what the server's account
/// needs.
fn make(folder: &Path, mode: u32) -> io::Result<()> {
    // Restrictive from the start, so that others may not enter even for a moment.
    DirBuilder::new().mode(mode & 0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// Returns the mode of a folder that stays owned by root, through which the server's account must
/// pass.
fn enterable_mode() -> u32 {
    if geteuid().is_root() { 0o711 } else { 0o700 }
}

fn make_kept(path: &Path) -> Result<PathBuf, StartError> {
    let path = std::path::absolute(path).map_err(StartError::io("find the data folder", path))?;
    let missing: Vec<&Path> = path.ancestors().take_while(|it| !it.exists()).collect();
    for folder in missing.into_iter().rev() {
        match make(folder, enterable_mode()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StartError::io("make the folder", folder)(error));
            }
            _ => {}
        }
    }
    let path = path
        .canonicalize()
        .map_err(StartError::io("find the data folder", &path))?;
    if path.join("PG_VERSION").exists() {
        return Err(StartError::ForeignCluster { folder: path });
    }
    Ok(path)
}

/// Takes the lock of `folder`. The kernel releases it when this process dies, however it dies, and
/// no child inherits it.
fn lock(folder: &Path) -> Result<File, StartError> {
    let path = folder.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StartError::io("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(StartError::InUse {
                folder: folder.to_path_buf(),
                holder: holder.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => {
            return Err(StartError::io("lock", &path)(error));
        }
    }
    // Only for the message above: the lock itself decides.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(StartError::io("write the process id to", &path))?;
    Ok(file)
}

/// Removes temporary folders whose manager was killed. Best effort: nothing depends on it.
fn remove_abandoned(temp: &Path) {
    let Ok(entries) = fs::read_dir(temp) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(manager) = name.to_str().and_then(manager_of) else {
            continue;
        };
        let path = entry.path();
        if kill(manager, None) != Err(Errno::ESRCH) || !is_our_folder(&path) {
            continue;
        }
        // In a container, the process id of a live manager may be unknown, but its lock is not.
        let Ok(_lock) = lock(&path) else { continue };
        let removed = leftover::stop(&path.join("data")).and_then(|()| {
            fs::remove_dir_all(&path).map_err(StartError::io("remove the folder", &path))
        });
        if let Err(error) = removed {
            tracing::debug!(folder = %path.display(), %error, "left an abandoned database");
        }
    }
}

/// Returns the process id in `throughline-<process id>-<number>`.
fn manager_of(name: &str) -> Option<Pid> {
    let (manager, number) = name.strip_prefix(FRESH_PREFIX)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    let manager = manager.parse().ok().filter(|pid| *pid > 0)?;
    Some(Pid::from_raw(manager))
}

fn is_our_folder(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(data_dir: DataDir, temp: &Path) -> PostgresSettings {
        PostgresSettings {
            data_dir,
            temp_dir: temp.to_path_buf(),
            ..PostgresSettings::throwaway()
        }
    }

    #[test]
    fn a_second_manager_is_told_who_holds_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        let kept = settings(DataDir::Keep(temp.path().join("a/b")), temp.path());
        let first = Folder::open(&kept).unwrap();
        let error = Folder::open(&kept).unwrap_err().to_string();
        let us = format!("another throughline (process `{}`)", std::process::id());
        assert!(error.starts_with(&us), "{error}");
        drop(first);
        Folder::open(&kept).unwrap();
    }

    #[test]
    fn a_throwaway_folder_goes_when_it_is_closed_or_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let throwaway = settings(DataDir::Throwaway, temp.path());
        let closed = Folder::open(&throwaway).unwrap();
        let dropped = Folder::open(&throwaway).unwrap();
        assert_ne!(closed.path(), dropped.path());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
        closed.close().unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_kept_folder_stays() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("kept");
        let kept = settings(DataDir::Keep(path.clone()), temp.path());
        Folder::open(&kept).unwrap().close().unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn a_folder_of_another_server_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("PG_VERSION"), "15\n").unwrap();
        let foreign = settings(DataDir::Keep(temp.path().to_path_buf()), temp.path());
        let refused = Folder::open(&foreign);
        assert!(matches!(refused, Err(StartError::ForeignCluster { .. })));
        assert!(!temp.path().join("lock").exists(), "it is left untouched");
    }

    #[test]
    fn what_a_dead_manager_left_in_the_temp_folder_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        // Linux gives no process an id above 4,194,304, macOS above 99,999.
        let abandoned = temp.path().join("throughline-99999999-0");
        let alive = temp
            .path()
            .join(format!("throughline-{}-77", std::process::id()));
        let foreign = temp.path().join("throughline-notes");
        for folder in [&abandoned, &alive, &foreign] {
            fs::create_dir(folder).unwrap();
        }
        Folder::open(&settings(DataDir::Throwaway, temp.path())).unwrap();
        assert!(!abandoned.exists());
        assert!(alive.exists() && foreign.exists());
    }
}

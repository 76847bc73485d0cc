//! The server's log: written to files of bounded size, and read while the server starts.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::StartError;

/// Weeks of a quiet server; five files are kept.
const SIZE_LIMIT: u64 = 10 * 1024 * 1024;
const OLD_FILES: u32 = 4;
/// The number of lines that fit in an error message.
const LAST_LINES: usize = 4;

/// Messages of the server while it recovers from a crash, which may take minutes.
const PROGRESS: [&str; 5] = [
    "database system was interrupted",
    "database system was not properly shut down",
    "syncing data directory",
    "redo in progress",
    "redo done",
];

#[derive(Debug, Clone)]
pub(super) struct ServerLog(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    files: RotatingFile,
    last_lines: VecDeque<String>,
}

impl ServerLog {
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        let files = RotatingFile::open(folder, SIZE_LIMIT)
            .map_err(StartError::io("open the server's log in", folder))?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            files,
            last_lines: VecDeque::new(),
        }))))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.with(|inner| inner.files.path.clone())
    }

    /// Returns the end of what was written since [`Self::follow`], in one line.
    pub(super) fn last_lines(&self) -> String {
        self.with(|inner| Vec::from(inner.last_lines.clone()).join("; "))
    }

    /// Writes the server's output to the log, on a thread of its own, until its last process has
    /// ended. If the log cannot be written, the output is still read: a server would block at a
    /// full pipe.
    pub(super) fn follow(&self, output: impl Read + Send + 'static) -> Result<(), StartError> {
        self.with(|inner| inner.last_lines.clear());
        let log = self.clone();
        thread::Builder::new()
            .name("postgres-log".to_owned())
            .spawn(move || log.copy(output))
            .map(drop)
            .map_err(StartError::Thread)
    }

    fn copy(&self, output: impl Read) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            self.take(&line);
            line.clear();
        }
    }

    fn take(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let message = message(text.trim_end());
        if PROGRESS.iter().any(|start| message.starts_with(start)) {
            tracing::info!(message, "the database server recovers");
        }
        let written = self.with(|inner| {
            if inner.last_lines.len() == LAST_LINES {
                inner.last_lines.pop_front();
            }
            inner.last_lines.push_back(message.to_owned());
            inner.files.write(line)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "could not write the database server's log");
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a line without Postgres' prefix: `2026-01-01 10:00:00.000 UTC [17] LOG:  `.
fn message(line: &str) -> &str {
    line.split_once("] LOG:  ")
        .or_else(|| line.split_once("] "))
        .map_or(line, |(_, message)| message)
}

/// `server.log`, and `server.log.1` (younger) to `server.log.4` (older).
#[derive(Debug)]
struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatingFile {
    fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("server.log");
        let file = append_to(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            limit,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size >= self.limit {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..OLD_FILES).rev() {
            let younger = self.old(age);
            if younger.exists() {
                fs::rename(younger, self.old(age + 1))?;
            }
        }
        fs::rename(&self.path, self.old(1))?;
        self.file = append_to(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn old(&self, age: u32) -> PathBuf {
        self.path.with_extension(format!("log.{age}"))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Private, since data of the database may appear in its log.
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_makes_way_and_the_oldest_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::open(folder.path(), 4).unwrap();
        for number in 0..8 {
            log.write(format!("no {number}\n").as_bytes()).unwrap();
        }
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("server.log"), "no 7\n");
        assert_eq!(read("server.log.1"), "no 6\n");
        assert_eq!(read("server.log.4"), "no 3\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_log_is_continued_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut log = RotatingFile::open(folder.path(), 10).unwrap();
            log.write(b"started\n").unwrap();
        }
        let text = fs::read_to_string(folder.path().join("server.log")).unwrap();
        assert_eq!(text, "started\nstarted\n");
    }

    #[test]
    fn the_last_lines_tell_why_a_server_ended() {
        let folder = tempfile::tempdir().unwrap();
        let log = ServerLog::open(folder.path()).unwrap();
        log.copy(&b"2026-01-01 10:00:00.000 UTC [17] LOG:  starting\n2026-01-01 10:00:00.000 UTC [17] FATAL:  no\xffspace\n"[..]);
        assert_eq!(log.last_lines(), "starting; FATAL:  no\u{fffd}space");
    }
}

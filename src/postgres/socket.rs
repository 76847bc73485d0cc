//! The address of the server: a Unix socket in a folder that only its account and root can enter.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::cluster::{DATABASE, USER};
use super::folder::{Folder, make_fresh};
use super::process::account::Account;
use super::{PostgresSettings, StartError};

/// The length of `sun_path` on macOS, without its final zero; Linux has four bytes more.
const LONGEST_PATH: usize = 103;
const FILE_NAME: &str = ".s.PGSQL.5432";
/// A folder with a short name. On macOS the user's own temporary folder has a long one.
const SHORT_TEMP_DIR: &str = "/tmp";

/// The parameters of a connection to the embedded server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The folder of the server's socket; its port is the usual 5432.
    pub socket_dir: PathBuf,
    pub user: &'static str,
    pub database: &'static str,
}

impl Connection {
    /// Returns the connection to the server that runs in `data_dir`, by the data that the server
    /// wrote there.
    pub fn running(data_dir: &Path) -> io::Result<Self> {
        /// The line of `postmaster.pid` with the folder of the socket.
        const SOCKET_LINE: usize = 4;

        let about = fs::read_to_string(data_dir.join("data/postmaster.pid"))?;
        let socket_dir = about.lines().nth(SOCKET_LINE);
        let socket_dir = socket_dir.filter(|path| !path.is_empty());
        Ok(Self {
            socket_dir: socket_dir.ok_or(io::ErrorKind::InvalidData)?.into(),
            user: USER,
            database: DATABASE,
        })
    }

    /// Returns the URL for libpq and sqlx. TLS is off: there is no network in between.
    pub fn url(&self) -> String {
        format!(
            "postgres://{}@localhost/{}?host={}&sslmode=disable",
            self.user,
            self.database,
            percent_encoded(&self.socket_dir)
        )
    }
}

fn percent_encoded(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.map(|&byte| percent_encoded_byte(byte)).collect()
}

fn percent_encoded_byte(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// The socket's folder. One under the temporary folder is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFolder {
    path: PathBuf,
    temporary: Option<PathBuf>,
}

impl SocketFolder {
    pub(super) fn make(
        folder: &Folder,
        settings: &PostgresSettings,
        account: &Account,
    ) -> Result<Self, StartError> {
        let beside = folder.socket();
        let made = if fits(&beside) {
            make_if_missing(&beside).map_err(StartError::io("make the folder", &beside))?;
            Self {
                path: beside,
                temporary: None,
            }
        } else {
            Self::temporary(&settings.temp_dir)?
        };
        fs::set_permissions(&made.path, Permissions::from_mode(0o700))
            .map_err(StartError::io("make private the folder", &made.path))?;
        account.own(&made.path)?;
        account.check_can_enter(&made.path)?;
        Ok(made)
    }

    fn temporary(temp_dir: &Path) -> Result<Self, StartError> {
        let mut path = PathBuf::new();
        for root in [temp_dir, Path::new(SHORT_TEMP_DIR)] {
            path = make_fresh(root, 0o700)?;
            // Dropped, and so removed, at the end of this iteration if it is not returned.
            let made = Self {
                path: path.clone(),
                temporary: Some(path.clone()),
            };
            if fits(&made.path) {
                return Ok(made);
            }
        }
        Err(StartError::SocketPathTooLong {
            path: path.join(FILE_NAME),
            limit: LONGEST_PATH,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn connection(&self) -> Connection {
        Connection {
            socket_dir: self.path.clone(),
            user: USER,
            database: DATABASE,
        }
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        let Some(temporary) = &self.temporary else {
            return;
        };
        if let Err(error) = fs::remove_dir_all(temporary) {
            tracing::warn!(folder = %temporary.display(), %error, "could not remove the folder of the socket");
        }
    }
}

fn make_if_missing(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn fits(folder: &Path) -> bool {
    folder.join(FILE_NAME).as_os_str().len() <= LONGEST_PATH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_may_have_103_bytes() {
        let folder = |bytes: usize| PathBuf::from(format!("/{}", "x".repeat(bytes - 1)));
        let room = LONGEST_PATH - "/.s.PGSQL.5432".len();
        assert!(fits(&folder(room)));
        assert!(!fits(&folder(room + 1)));
    }

    #[test]
    fn a_url_carries_any_path() {
        let connection = Connection {
            socket_dir: PathBuf::from("/a b/ü&c"),
            user: "ann",
            database: "shop",
        };
        assert_eq!(
            connection.url(),
            "postgres://ann@localhost/shop?host=%2Fa%20b%2F%C3%BC%26c&sslmode=disable"
        );
    }
}

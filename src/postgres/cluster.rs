//! Creates the cluster, completely or not at all, and defines the settings that it runs with.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::binaries::Binaries;
use super::folder::Folder;
use super::process::account::Account;
use super::{Durability, StartError, process::spawn};

/// The owner of everything in the cluster. A client that can reach the socket needs no password.
pub(super) const USER: &str = "throughline";
/// The database that `initdb` creates.
pub(super) const DATABASE: &str = "postgres";

/// Returns the major version that created the cluster in `data`; `None` if there is no cluster yet.
pub(super) fn made_by(data: &Path) -> Result<Option<u32>, StartError> {
    if !data.exists() {
        return Ok(None);
    }
    let version = fs::read_to_string(data.join("PG_VERSION")).ok();
    let major = version.and_then(|text| text.trim().parse().ok());
    major.map(Some).ok_or_else(|| StartError::NotACluster {
        folder: data.to_path_buf(),
    })
}

/// Creates a cluster in a temporary folder and renames it when it is complete, so that an
/// interrupted one is never mistaken for a database.
pub(super) fn make(
    folder: &Folder,
    binaries: &Binaries,
    account: &Account,
    durability: Durability,
) -> Result<(), StartError> {
    let side = folder.half_made();
    remove_if_there(&side).map_err(StartError::io("remove the half-made database", &side))?;
    DirBuilder::new()
        .mode(0o700)
        .create(&side)
        .map_err(StartError::io("make the folder", &side))?;
    account.own(&side)?;
    initdb(&side, binaries, account, durability)?;
    let data = folder.data();
    fs::rename(&side, &data).map_err(StartError::io("move the new database to", &data))?;
    // The rename must survive a power cut.
    File::open(folder.path())
        .and_then(|parent| parent.sync_all())
        .map_err(StartError::io("write to disk the folder", folder.path()))
}

fn initdb(
    side: &Path,
    binaries: &Binaries,
    account: &Account,
    durability: Durability,
) -> Result<(), StartError> {
    let program = binaries.initdb();
    let mut command = spawn::command(&program, account);
    command
        .arg("--pgdata")
        .arg(side)
        .args(["--username", USER])
        // Texts are compared byte by byte, so an update of the system's locales breaks no index.
        .args(["--encoding=UTF8", "--no-locale"])
        .args(["--auth-local=trust", "--auth-host=reject"])
        .args(["--data-checksums", "--no-instructions"]);
    if durability == Durability::Fast {
        command.arg("--no-sync");
    }
    let answer = command
        .output()
        .map_err(StartError::io("run the program", &program))?;
    if answer.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&answer.stderr);
    Err(StartError::Initdb {
        program,
        status: answer.status.to_string(),
        output: output.trim().replace('\n', "; "),
    })
}

/// Returns the arguments of the server. They override `postgresql.conf`.
pub(super) fn server_arguments(
    data: &Path,
    socket: &Path,
    durability: Durability,
) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("-D"), data.into()];
    let mut set = |name: &str, value: OsString| {
        let mut setting = OsString::from(format!("{name}="));
        setting.push(value);
        arguments.extend([OsString::from("-c"), setting]);
    };
    set("unix_socket_directories", quoted(socket));
    let fixed = SETTINGS.iter();
    for (name, value) in fixed.chain(durability_settings(durability)) {
        set(name, value.into());
    }
    arguments
}

const SETTINGS: [(&str, &str); 13] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("cluster_name", "throughline"),
    // Enough for one service with a few pools and an occasional psql.
    ("max_connections", "100"),
    // Allocated only as the data grows: a million open workflows, with their indexes, stay in
    // memory.
    ("shared_buffers", "512MB"),
    // The queries are small; parallel ones need more shared memory than a container gives.
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_startup_progress_interval", "5s"),
];

fn durability_settings(durability: Durability) -> &'static [(&'static str, &'static str)] {
    match durability {
        Durability::Durable => &[("fsync", "on"), ("synchronous_commit", "on")],
        // All three protect against a power cut, which a temporary database does not survive
        // anyway.
        Durability::Fast => &[
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ],
    }
}

/// Quotes a path: the setting is a list, and the path may contain a comma or a space.
fn quoted(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    let mut bytes = vec![b'"'];
    for &byte in path.as_os_str().as_bytes() {
        if byte == b'"' {
            bytes.push(b'"');
        }
        bytes.push(byte);
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_there_is_no_cluster_yet() {
        assert!(matches!(made_by(Path::new("/nowhere/data")), Ok(None)));
    }

    #[test]
    fn a_folder_that_is_no_cluster_is_refused_not_filled() {
        let data = tempfile::tempdir().unwrap();
        let refused = made_by(data.path());
        assert!(matches!(refused, Err(StartError::NotACluster { .. })));
        fs::write(data.path().join("PG_VERSION"), "15\n").unwrap();
        assert!(matches!(made_by(data.path()), Ok(Some(15))));
    }

    #[test]
    fn a_socket_folder_with_a_comma_stays_one_folder() {
        assert_eq!(quoted(Path::new("/a, b/\"c\"")), "\"/a, b/\"\"c\"\"\"");
    }

    #[test]
    fn a_kept_database_waits_for_the_disk() {
        let arguments = server_arguments(
            Path::new("/data"),
            Path::new("/socket"),
            Durability::Durable,
        );
        assert!(arguments.contains(&OsString::from("fsync=on")));
        assert!(!arguments.contains(&OsString::from("fsync=off")));
    }
}

//! The embedded Postgres, on a real one: what it survives, and what it leaves behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::{Connection as _, PgConnection};
use throughline::postgres::{
    DataDir, Durability, EmbeddedServer, PostgresSettings, StartError, State,
};
use tokio::time::{sleep, timeout};

/// In this process, a test that is started again plays the manager that gets killed.
const ROLE: &str = "THROUGHLINE_TEST_MANAGER_OF";
const LONG_ENOUGH: Duration = Duration::from_mins(1);

/// A folder that other accounts can enter, whatever the umask.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    open_to_all(home.path());
    home
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// With a folder for temporary files of its own, so that one can tell what is left in it.
fn settings(home: &Path, data_dir: DataDir) -> PostgresSettings {
    let temp_dir = home.join("temp");
    fs::create_dir_all(&temp_dir).unwrap();
    open_to_all(&temp_dir);
    PostgresSettings {
        temp_dir,
        data_dir,
        ..PostgresSettings::throwaway()
    }
}

fn keep(home: &Path) -> PostgresSettings {
    settings(home, DataDir::Keep(home.join("db")))
}

async fn ask(server: &EmbeddedServer, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(&server.connection_url())
        .await
        .unwrap();
    let answer = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    answer
}

async fn tell(server: &EmbeddedServer, sql: &'static str) {
    let mut connection = PgConnection::connect(&server.connection_url())
        .await
        .unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn first_line(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.lines().next()?.parse().ok()
}

fn postmaster(folder: &Path) -> Pid {
    Pid::from_raw(first_line(&folder.join("data/postmaster.pid")).unwrap())
}

/// Whether the process is there and not just waiting to be collected.
fn is_alive(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => kill(pid, None).is_ok(),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG_ENOUGH, wait).await.expect(what);
}

#[tokio::test]
async fn a_throwaway_server_answers_and_leaves_nothing_behind() {
    let home = home();
    let settings = settings(home.path(), DataDir::Throwaway);
    let server = EmbeddedServer::start(&settings).await.unwrap();
    assert_eq!(*server.watch().borrow(), State::Ready);
    assert_eq!(ask(&server, "SHOW fsync").await, "off");
    let pid = postmaster(server.folder());
    server.stop().await.unwrap();
    assert!(!is_alive(pid));
    assert_eq!(fs::read_dir(&settings.temp_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dropped_throwaway_server_leaves_nothing_behind() {
    let home = home();
    let settings = settings(home.path(), DataDir::Throwaway);
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let pid = postmaster(server.folder());
    drop(server);
    assert!(!is_alive(pid));
    assert_eq!(fs::read_dir(&settings.temp_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_kept_database_is_safe_private_and_still_there_after_a_restart() {
    let home = home();
    let settings = PostgresSettings {
        temp_dir: home.path().to_path_buf(),
        ..PostgresSettings::keep(home.path().join("made/on/the/way"))
    };
    let server = EmbeddedServer::start(&settings).await.unwrap();
    for (setting, value) in [
        ("SHOW data_checksums", "on"),
        ("SHOW fsync", "on"),
        ("SHOW full_page_writes", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW listen_addresses", ""),
        ("SHOW server_encoding", "UTF8"),
    ] {
        assert_eq!(ask(&server, setting).await, value, "{setting}");
    }
    let socket = fs::metadata(server.folder().join("socket")).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o700);
    tell(&server, "CREATE TABLE kept AS SELECT 'here' AS word").await;
    server.stop().await.unwrap();

    let server = EmbeddedServer::start(&settings).await.unwrap();
    assert_eq!(ask(&server, "SELECT word FROM kept").await, "here");
    let log = fs::read_to_string(server.folder().join("log/server.log")).unwrap();
    assert!(!log.contains("recovery in progress"), "it was stopped well");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_runs_in_its_own_process_group_and_never_as_root() {
    let home = home();
    let server = EmbeddedServer::start(&keep(home.path())).await.unwrap();
    let pid = postmaster(server.folder());
    let group = nix::unistd::getpgid(Some(pid)).unwrap();
    assert_eq!(group, pid);
    let owner = fs::metadata(server.folder().join("data")).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(
        fs::metadata(server.folder()).unwrap().uid(),
        geteuid().as_raw()
    );
    if geteuid().is_root() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].trim().to_owned()
        };
        let uids = vec![owner.to_string(); 4].join("\t");
        assert_eq!(field("Uid:"), uids);
        assert!(!field("Gid:").split('\t').any(|gid| gid == "0"));
        assert_eq!(field("Groups:"), "", "root's groups are dropped");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_the_servers_account_cannot_enter_is_named() {
    if !geteuid().is_root() {
        return; // No other account is involved; the rule itself has unit tests.
    }
    let home = home();
    let locked = home.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, Permissions::from_mode(0o700)).unwrap();
    let settings = settings(home.path(), DataDir::Keep(locked.join("db")));
    let error = EmbeddedServer::start(&settings).await.unwrap_err();
    let locked = locked.canonicalize().unwrap();
    assert!(
        matches!(&error, StartError::NotEnterable { folder, .. } if *folder == locked),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_manager_is_refused_and_the_first_goes_on() {
    let home = home();
    let server = EmbeddedServer::start(&keep(home.path())).await.unwrap();
    let second = EmbeddedServer::start(&keep(home.path())).await;
    assert!(matches!(second, Err(StartError::InUse { .. })));
    assert_eq!(ask(&server, "SELECT 'still here'").await, "still here");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_half_made_database_is_made_anew() {
    let home = home();
    let half = home.path().join("db/data.half-made");
    fs::create_dir_all(&half).unwrap();
    open_to_all(half.parent().unwrap());
    fs::write(half.join("PG_VERSION"), "15\n").unwrap();
    let server = EmbeddedServer::start(&keep(home.path())).await.unwrap();
    assert_eq!(ask(&server, "SELECT 'whole'").await, "whole");
    assert!(!half.exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_socket_path_too_long_goes_to_the_temp_folder() {
    let home = home();
    let long = home.path().join("x".repeat(100));
    let settings = settings(home.path(), DataDir::Keep(long));
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let temp = settings.temp_dir.canonicalize().unwrap();
    assert!(server.connection().socket_dir.starts_with(temp));
    assert_eq!(ask(&server, "SELECT 'reached'").await, "reached");
    server.stop().await.unwrap();
    assert_eq!(fs::read_dir(&settings.temp_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_temp_folder_with_a_long_name_still_leaves_room_for_a_socket() {
    let home = home();
    let long = home.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    open_to_all(&long);
    let settings = PostgresSettings {
        temp_dir: long,
        ..PostgresSettings::throwaway()
    };
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let socket_dir = server.connection().socket_dir.clone();
    assert_eq!(ask(&server, "SELECT 'reached'").await, "reached");
    server.stop().await.unwrap();
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_behind() {
    let home = home();
    let settings = settings(home.path(), DataDir::Throwaway);
    {
        let mut start = Box::pin(EmbeddedServer::start(&settings));
        let begun = until("the database is being made", || {
            fs::read_dir(&settings.temp_dir).unwrap().count() > 0
        });
        tokio::select! {
            biased;
            () = begun => {}
            _ = &mut start => panic!("to make a database takes longer"),
        }
    }
    // Who drops it waits a little only, and `initdb` may take longer on a busy disk.
    until("nothing is left", || {
        fs::read_dir(&settings.temp_dir).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let home = home();
    let settings = PostgresSettings {
        durability: Durability::Durable,
        ..keep(home.path())
    };
    let server = EmbeddedServer::start(&settings).await.unwrap();
    tell(&server, "CREATE TABLE kept AS SELECT 'here' AS word").await;
    let mut states = server.watch();
    let killed = postmaster(server.folder());
    kill(killed, Signal::SIGKILL).unwrap();
    let back = async {
        states
            .wait_for(|state| matches!(state, State::Restarting { .. }))
            .await
            .unwrap();
        states
            .wait_for(|state| *state == State::Ready)
            .await
            .unwrap();
    };
    timeout(LONG_ENOUGH, back).await.unwrap();
    assert_ne!(postmaster(server.folder()), killed);
    assert_eq!(ask(&server, "SELECT word FROM kept").await, "here");
    server.stop().await.unwrap();
    assert_eq!(*states.borrow(), State::Stopped);
}

#[tokio::test]
async fn a_process_id_given_away_again_does_not_keep_the_server_down() {
    let home = home();
    let settings = keep(home.path());
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let stale = server.folder().join("data/postmaster.pid");
    let text = fs::read_to_string(&stale).unwrap();
    let pid = postmaster(server.folder());
    server.stop().await.unwrap();
    // A process that the server may signal is one it takes for a server.
    let mut sleeper = as_owner_of(stale.parent().unwrap(), "sleep")
        .arg("300")
        .spawn()
        .unwrap();
    let stolen = text.replacen(&pid.to_string(), &sleeper.id().to_string(), 1);
    fs::write(&stale, stolen).unwrap();
    let server = EmbeddedServer::start(&settings).await.unwrap();
    assert_eq!(ask(&server, "SELECT 'up'").await, "up");
    server.stop().await.unwrap();
    assert!(sleeper.try_wait().unwrap().is_none(), "it was left alone");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[tokio::test]
async fn an_orphan_is_stopped_before_a_new_start() {
    let home = home();
    let settings = keep(home.path());
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let folder = server.folder().to_path_buf();
    let program = fs::read_link(format!("/proc/{}/exe", postmaster(&folder)));
    server.stop().await.unwrap();
    let Ok(program) = program else {
        return; // Only Linux tells where the program is; the rest is the same elsewhere.
    };
    let socket = folder.join("socket").display().to_string();
    let mut orphan = as_owner_of(&folder.join("data"), program.to_str().unwrap())
        .arg("-D")
        .arg(folder.join("data"))
        .args([
            "-c",
            "listen_addresses=",
            "-c",
            &format!("unix_socket_directories={socket}"),
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let file = folder.join("data/postmaster.pid");
    until("the orphan is up", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("ready"))
    })
    .await;
    let server = EmbeddedServer::start(&settings).await.unwrap();
    assert!(orphan.try_wait().unwrap().is_some(), "the orphan has ended");
    assert_eq!(ask(&server, "SELECT 'ours'").await, "ours");
    server.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_of_a_killed_manager_ends_too_and_the_next_start_works() {
    if let Some(home) = std::env::var_os(ROLE) {
        let _server = EmbeddedServer::start(&keep(&PathBuf::from(home)))
            .await
            .unwrap();
        std::future::pending::<()>().await;
    }
    let home = home();
    let mut manager = Command::new(std::env::current_exe().unwrap())
        .arg("the_server_of_a_killed_manager_ends_too_and_the_next_start_works")
        .env(ROLE, home.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let file = home.path().join("db/data/postmaster.pid");
    until("the manager's server is up", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("ready"))
    })
    .await;
    let orphan = postmaster(&home.path().join("db"));
    manager.kill().unwrap();
    manager.wait().unwrap();
    until("the server ends by itself", || !is_alive(orphan)).await;
    let server = EmbeddedServer::start(&keep(home.path())).await.unwrap();
    assert_eq!(ask(&server, "SELECT 'up'").await, "up");
    server.stop().await.unwrap();
}

/// A command that runs as whoever owns `path`, as the server does.
fn as_owner_of(path: &Path, program: &str) -> Command {
    use std::os::unix::process::CommandExt as _;

    let owner = fs::metadata(path).unwrap();
    let mut command = Command::new(program);
    command.current_dir("/");
    if geteuid().is_root() {
        command.gid(owner.gid()).uid(owner.uid());
    }
    command
}

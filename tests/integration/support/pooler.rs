//! `PgBouncer` in front of a test's database: started on a free port, gone with the test.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Child, Command},
};

use nix::unistd::{User, geteuid};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::{
    broker::{answers, found, spawn},
    service::free_port,
};

/// Fewer than the service has, so that transactions of all its connections share them.
const SERVER_CONNECTIONS: u32 = 5;

/// Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Pooler {
    server: Child,
    port: u16,
    _home: TempDir,
}

impl Pooler {
    /// `mode` is `transaction`, `session` or `statement`.
    pub(crate) async fn start(database: &PgConnectOptions, mode: &str) -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), free_port());
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let settings = home.path().join("pgbouncer.ini");
        let socket = database.get_socket().expect("tests use a socket");
        let text = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = {SERVER_CONNECTIONS}\n",
            socket.display(),
            database.get_port(),
            database.get_username(),
        );
        fs::write(&settings, text).unwrap();
        let mut server = Command::new(found("pgbouncer", &["/usr/sbin"]));
        server.arg(settings);
        as_postgres(&mut server);
        let server = spawn(server, home.path());
        answers(port).await;
        Self {
            server,
            port,
            _home: home,
        }
    }

    pub(crate) fn url(&self, database: &PgConnectOptions) -> String {
        let name = database.get_database().unwrap();
        format!("postgres://shop@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.server.kill().unwrap_or_default();
        drop(self.server.wait());
    }
}

/// Neither PostgreSQL nor its poolers run as root. It is the account of the embedded server, whose socket
/// is for that account alone.
pub(super) fn as_postgres(command: &mut Command) {
    if !geteuid().is_root() {
        return;
    }
    let mut names = ["postgres", "nobody"].into_iter();
    let account = names.find_map(|name| User::from_name(name).unwrap());
    let account = account.expect("there is an account that is not root");
    command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
}

//! A primary and its standby, made with PostgreSQL's own programs. Both are gone with the test.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    str::FromStr as _,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::{
    api::until,
    broker::{answers, spawn},
    database::TestDatabase,
    pooler::as_postgres,
    service::free_port,
};

/// How the standby takes part in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    /// A commit waits until the standby has it.
    Synchronous,
    Asynchronous,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    programs: PathBuf,
    home: TempDir,
    primary: Server,
    standby: Server,
}

#[derive(Debug)]
struct Server {
    process: Child,
    port: u16,
}

impl Cluster {
    pub(crate) async fn start(replication: Replication) -> Self {
        let programs = programs().await;
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        let one = home.path().join("one");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["--username", "shop", "--auth", "trust", "--no-sync", "-D"]);
        run(initdb.arg(&one));
        let primary = Server::start(&programs, &one, free_port()).await;
        let two = home.path().join("two");
        let mut copy = Command::new(programs.join("pg_basebackup"));
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        copy.args([
            "--dbname",
            &primary.address("postgres", "application_name=standby"),
        ]);
        run(copy.arg("-D").arg(&two));
        let standby = Server::start(&programs, &two, free_port()).await;
        let cluster = Self {
            programs,
            home,
            primary,
            standby,
        };
        cluster.replicate(replication).await;
        cluster
    }

    async fn replicate(&self, replication: Replication) {
        let mut connection = self.primary.connect().await;
        if replication == Replication::Synchronous {
            for statement in [
                "alter system set synchronous_standby_names = 'standby'",
                "select pg_reload_conf()",
            ] {
                execute(&mut connection, statement).await;
            }
        }
        let awaited = match replication {
            Replication::Synchronous => "sync",
            Replication::Asynchronous => "async",
        };
        until("a standby that follows", async || {
            let state: Option<String> = sqlx::query_scalar(
                "select sync_state from pg_stat_replication where state = 'streaming'",
            )
            .fetch_optional(&mut connection)
            .await
            .unwrap();
            (state? == awaited).then_some(())
        })
        .await;
    }

    /// Both servers, as libpq takes them.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://shop@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
            self.primary.port, self.standby.port
        )
    }

    pub(crate) fn primary_url(&self) -> String {
        self.primary.address("postgres", "")
    }

    pub(crate) fn standby_url(&self) -> String {
        self.standby.address("postgres", "")
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.primary_url()).unwrap()
    }

    pub(crate) async fn on_standby(&self, statement: &'static str) {
        execute(&mut self.standby.connect().await, statement).await;
    }

    /// What is committed from now on never gets to the standby.
    pub(crate) async fn cut_off(&self) {
        self.on_standby("alter system set primary_conninfo = ''")
            .await;
        self.on_standby("select pg_reload_conf()").await;
        let mut connection = self.primary.connect().await;
        until("a standby that follows no more", async || {
            let followers: i64 = sqlx::query_scalar("select count(*) from pg_stat_replication")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            (followers == 0).then_some(())
        })
        .await;
    }

    /// All processes of the primary end at once, without a checkpoint.
    pub(crate) fn kill_primary(&mut self) {
        self.primary.kill();
    }

    /// The standby accepts writes from then on.
    pub(crate) async fn promote(&self) {
        self.on_standby("select pg_promote()").await;
    }

    pub(crate) async fn restart_standby(&mut self) {
        let data = self.home.path().join("two");
        self.standby = Server::start(&self.programs, &data, self.standby.port).await;
    }

    pub(crate) fn kill_standby(&mut self) {
        self.standby.kill();
    }
}

impl Server {
    async fn start(programs: &Path, data: &Path, port: u16) -> Self {
        let mut server = Command::new(programs.join("postgres"));
        server.arg("-D").arg(data);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "wal_retrieve_retry_interval=100ms".to_owned(),
        ] {
            server.args(["-c", &setting]);
        }
        as_postgres(&mut server);
        let log = data.parent().expect("it is in a folder");
        let process = spawn(server, log);
        answers(port).await;
        let server = Self { process, port };
        until("a server that has started", async || {
            server.options().connect().await.ok()
        })
        .await;
        server
    }

    fn address(&self, database: &str, query: &str) -> String {
        format!("postgres://shop@127.0.0.1:{}/{database}?{query}", self.port)
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.address("postgres", "")).unwrap()
    }

    async fn connect(&self) -> PgConnection {
        self.options().connect().await.expect("the server answers")
    }

    fn kill(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        kill(pid, Signal::SIGQUIT).unwrap_or_default();
        drop(self.process.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the programs of the server of all tests are.
async fn programs() -> PathBuf {
    let database = TestDatabase::create().await;
    let folder: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    folder.into()
}

async fn execute(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .expect("the statement runs");
}

fn run(command: &mut Command) {
    as_postgres(command);
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
}

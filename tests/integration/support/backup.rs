//! Backups by `pg_dump`, restored to other databases.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, postgres::PgConnectOptions};
use throughline::store::Store;
use uuid::Uuid;

use super::database::TestDatabase;

/// A program of PostgreSQL, of the version of the server.
async fn tool(connection: &mut PgConnection, name: &str) -> Command {
    let folder: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
        .fetch_one(connection)
        .await
        .unwrap();
    Command::new(PathBuf::from(folder).join(name))
}

fn connected<'a>(command: &'a mut Command, options: &PgConnectOptions) -> &'a mut Command {
    command
        .arg("--host")
        .arg(options.get_socket().expect("tests use a socket"))
        .args(["--username", options.get_username()])
        .args(["--dbname", options.get_database().unwrap()])
}

/// Waits for the end without holding up the senders.
async fn run(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    output
}

/// A dump of a database.
#[derive(Debug)]
pub(crate) struct Backup {
    folder: tempfile::TempDir,
}

impl Backup {
    pub(crate) async fn take(database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = database.connect().await;
        let mut dump = tool(&mut connection, "pg_dump").await;
        connected(&mut dump, &database.options)
            .args(["--format", "custom", "--file"])
            .arg(folder.path().join("dump"));
        run(dump).await;
        Self { folder }
    }

    /// Makes a new database with it, on the server of `database`.
    pub(crate) async fn restore(&self, database: &TestDatabase) -> TestDatabase {
        let mut connection = database.connect().await;
        let name = format!("restored_{}", Uuid::now_v7().simple());
        let create = format!("create database {name}");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        let restored = database.options.clone().database(&name);
        let mut restore = tool(&mut connection, "pg_restore").await;
        connected(&mut restore, &restored)
            .arg("--no-owner")
            .arg(self.folder.path().join("dump"));
        run(restore).await;
        TestDatabase {
            store: Store::new(restored.clone(), 10),
            options: restored,
        }
    }
}

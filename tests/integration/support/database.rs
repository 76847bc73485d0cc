//! A database of its own for every test, on one Postgres for all of them.

use std::str::FromStr as _;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use throughline::{
    postgres::{EmbeddedServer, PostgresSettings},
    store::Store,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// An empty database with the current schema, and how to connect to it once more.
#[derive(Debug)]
pub struct TestDatabase {
    pub store: Store,
    pub options: PgConnectOptions,
}

impl TestDatabase {
    pub async fn create() -> Self {
        Self::create_on(server_options().await).await
    }

    /// On a server that a test has for itself, to do it harm.
    pub async fn create_on(server: &PgConnectOptions) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut connection = server.connect().await.expect("the test server answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .expect("a database can be created");
        connection.close().await.expect("the connection closes");
        let options = server.clone().database(&name);
        let store = Store::new(options.clone(), 5);
        store.migrate().await.expect("the migrations apply");
        Self { store, options }
    }

    /// A connection past the store, for what only a test wants to know.
    pub async fn connect(&self) -> PgConnection {
        self.options
            .connect()
            .await
            .expect("the test database answers")
    }
}

/// One embedded server for the whole process. It dies with it, and the next run removes its folder.
async fn server_options() -> &'static PgConnectOptions {
    static SERVER: OnceCell<(EmbeddedServer, PgConnectOptions)> = OnceCell::const_new();
    let start = async || {
        let server = EmbeddedServer::start(&PostgresSettings::throwaway())
            .await
            .expect("a server starts");
        let url = server.connection_url();
        (
            server,
            PgConnectOptions::from_str(&url).expect("the address is valid"),
        )
    };
    &SERVER.get_or_init(start).await.1
}

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
        let store = Store::new(options.clone(), 10);
        store.migrate().await.expect("the migrations apply");
        Self { store, options }
    }

    /// The SLO of this name had its first event half an hour ago, and it ended. That covers the short windows of
    /// most rules that page. To be called before a service declares it.
    pub async fn make_old(&self, name: &str) {
        let mut connection = self.connect().await;
        sqlx::query(
            "insert into slos (name, first_event_at, has_ended)
             values ($1, clock_timestamp() - interval '30 minutes', true)",
        )
        .bind(name)
        .execute(&mut connection)
        .await
        .expect("an SLO can be written");
        connection.close().await.expect("the connection closes");
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

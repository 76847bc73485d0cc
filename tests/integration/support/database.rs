//! A database of its own for every test, on one Postgres for all of them. A copy of one that was
//! prepared once takes a tenth of the time that preparing it takes.

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

/// A database that tests get copies of. Nobody is connected to it, or it could not be copied.
#[derive(Debug)]
pub struct DatabaseTemplate {
    name: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        static MIGRATED: OnceCell<DatabaseTemplate> = OnceCell::const_new();
        let migrated = async || {
            Self::create_on(server_options().await)
                .await
                .into_template()
                .await
        };
        Self::copy(MIGRATED.get_or_init(migrated).await).await
    }

    pub async fn copy(template: &DatabaseTemplate) -> Self {
        let server = server_options().await;
        let options = create_database(server, &format!(" template {}", template.name)).await;
        let store = Store::new(options.clone(), 10);
        Self { store, options }
    }

    /// On a server that a test has for itself, to do it harm.
    pub async fn create_on(server: &PgConnectOptions) -> Self {
        let options = create_database(server, "").await;
        let store = Store::new(options.clone(), 10);
        store.migrate().await.expect("the migrations apply");
        Self { store, options }
    }

    /// Makes it what others are copied from. It must be on the server of all tests.
    pub async fn into_template(self) -> DatabaseTemplate {
        self.store.close().await;
        let name = self.options.get_database();
        DatabaseTemplate {
            name: name.expect("it was named").to_owned(),
        }
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

    /// Every connection to it ends, whatever it is doing.
    pub async fn close_connections(&self) {
        let mut connection = self.connect().await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&mut connection)
        .await
        .expect("connections can be closed");
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

async fn create_database(server: &PgConnectOptions, how: &str) -> PgConnectOptions {
    let name = format!("test_{}", Uuid::now_v7().simple());
    let mut connection = server.connect().await.expect("the test server answers");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}{how}")))
        .execute(&mut connection)
        .await
        .expect("a database can be created");
    connection.close().await.expect("the connection closes");
    server.clone().database(&name)
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

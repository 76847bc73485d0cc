//! What the benchmarks share: a Postgres of their own, and the median of a few rounds.

use std::{str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use throughline::{
    domain::model::time::{TimeRange, Timestamp},
    postgres::{Durability, EmbeddedServer, PostgresSettings},
    store::Store,
};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// As long as late data is taken by default.
pub(crate) const HORIZON: Duration = Duration::from_hours(168);

/// Anything but `cargo bench` only wants to know that a benchmark builds.
pub(crate) fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// An embedded server that keeps what it has committed, as the product's does.
pub(crate) struct Database {
    server: EmbeddedServer,
    pub(crate) options: PgConnectOptions,
}

impl Database {
    pub(crate) async fn start() -> Self {
        let settings = PostgresSettings {
            durability: Durability::Durable,
            ..PostgresSettings::throwaway()
        };
        let server = EmbeddedServer::start(&settings).await.unwrap();
        let options = PgConnectOptions::from_str(&server.connection_url()).unwrap();
        Self { server, options }
    }

    /// A fresh database in it, with the schema and ready to record what happens around `now`.
    pub(crate) async fn create(&self, name: &str, now: Timestamp) -> Store {
        let mut connection = self.options.connect().await.unwrap();
        let statement = sqlx::AssertSqlSafe(format!("create database {name}"));
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        let store = Store::new(self.options.clone().database(name), 16);
        store.migrate().await.unwrap();
        let mut tx = store.begin("prepare").await.unwrap();
        tx.ensure_epoch(now, HORIZON).await.unwrap();
        let range = TimeRange::new(now - HORIZON - DAY, now + DAY);
        tx.ensure_count_partitions(range).await.unwrap();
        tx.commit().await.unwrap();
        store
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await.unwrap();
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

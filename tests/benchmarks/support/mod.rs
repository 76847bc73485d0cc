//! What the benchmarks share: a Postgres of their own, goals, and the median of a few rounds.

use std::{
    fmt::Debug, fs, num::NonZero, ops::RangeBounds, str::FromStr as _, thread, time::Duration,
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use throughline::{
    domain::model::time::{TimeRange, Timestamp},
    postgres::{Durability, EmbeddedServer, PostgresSettings},
    store::Store,
};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// As long as late data is taken by default.
pub(crate) const HORIZON: Duration = Duration::from_hours(168);

/// Anything but `cargo bench` only wants to know that a benchmark builds. Prints what the figures
/// depend on.
pub(crate) fn is_wanted() -> bool {
    let is_wanted = std::env::args().any(|argument| argument == "--bench");
    if is_wanted {
        println!("{}", machine());
    }
    is_wanted
}

/// With `--short` a benchmark does a small part of its work: its figures mean nothing, but what it asserts
/// is checked.
pub(crate) fn unless_short<T>(full: T, short: T) -> T {
    if std::env::args().any(|argument| argument == "--short") {
        short
    } else {
        full
    }
}

/// Such as `throughline 0.1.0 on 2 x Intel(R) Xeon(R) Processor, Linux 6.1.0`.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let mut models = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let model = models.next().unwrap_or_default();
    format!(
        "throughline {} on {} x {}, Linux {}",
        env!("CARGO_PKG_VERSION"),
        thread::available_parallelism().map_or(1, NonZero::get),
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim()
    )
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
        let mut connection = options.connect().await.unwrap();
        let query = sqlx::query_scalar("show server_version");
        let version: String = query.fetch_one(&mut connection).await.unwrap();
        println!("PostgreSQL {version}");
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

/// Prints one line; `cargo bench | grep ^goal` shows all that were measured. A goal that is missed is no
/// failure: figures depend on the machine. `what` names the unit where the figure is no ratio.
pub(crate) fn print_goal(what: &str, measured: f64, goal: impl RangeBounds<f64> + Debug) {
    let result = if goal.contains(&measured) {
        "reached"
    } else {
        "missed"
    };
    let goal = format!("{goal:?}");
    println!("goal {result:7} {measured:10.3} {goal:9} {what}");
}

//! Whether a tick of the evaluator costs the same however long the history of its SLOs is.
//!
//! Run with `cargo bench --bench evaluating`. The histories take turns; read the ratio of medians.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[path = "../support/mod.rs"]
mod support;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection};
use throughline::{
    clock::Clock,
    domain::{
        model::time::{TimeRange, Timestamp},
        slo::{
            Catalog,
            definition::{DefinitionFile, load},
        },
    },
    evaluate::{Evaluator, EvaluatorSettings},
    store::Store,
};
use tokio::{sync::watch, time::Instant};

use self::support::{DAY, Database, median};

const SLOS: usize = 40;
const TICKS: u32 = 60;
const INTERVAL: Duration = Duration::from_secs(5);
const HISTORIES: [u32; 2] = [1, 90];

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let database = Database::start().await;
    let now = Clock::System.now();
    let catalog = Arc::new(catalog());
    let mut evaluators = Vec::new();
    for days in HISTORIES {
        evaluators.push(evaluator(&database, &catalog, (days, now)).await);
    }
    let mut millis = HISTORIES.map(|_| Vec::new());
    for turn in 1..=TICKS {
        for (evaluator, millis) in evaluators.iter().zip(&mut millis) {
            let began = Instant::now();
            let report = evaluator.tick(now + INTERVAL * turn).await.unwrap();
            millis.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(report.evaluated, SLOS);
        }
    }
    let [short, long] = millis.map(median);
    println!("a tick over {SLOS} SLOs, each with events in every minute");
    println!("{} day: {short:.1} ms", HISTORIES[0]);
    println!(
        "{} days: {long:.1} ms, ratio {:.2}",
        HISTORIES[1],
        long / short
    );
    database.stop().await;
}

/// SLOs with the built-in rules: eight windows each.
fn catalog() -> Catalog {
    let mut text = String::new();
    for number in 0..SLOS {
        write!(
            text,
            "---\napiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: product-{number} }}\n\
             spec:\n  service: a\n  objective: 99.5%\n  window: 30d\n  indicator:\n    span:\n\
             \x20     match: '{{ name = \"product-{number}\" }}'\n      good: '{{ status != error }}'\n"
        )
        .unwrap();
    }
    let path = "benchmark.yaml".to_owned();
    load(&[DefinitionFile { path, text }]).unwrap().0
}

/// An evaluator on a database of its own, with a history of so many days that ends now.
async fn evaluator(
    database: &Database,
    catalog: &Arc<Catalog>,
    (days, now): (u32, Timestamp),
) -> Evaluator {
    let name = format!("history_{days}");
    let store = database.create(&name, now).await;
    let history = TimeRange::new(now - DAY * days, now);
    declare(&store, catalog, history).await;
    let options = database.options.clone().database(&name);
    fill(&mut options.connect().await.unwrap(), history).await;
    let (_, catalog) = watch::channel(Arc::clone(catalog));
    let settings = EvaluatorSettings {
        interval: INTERVAL,
        page_base_url: None,
        platform_target: None,
    };
    Evaluator::new(store, catalog, settings)
}

async fn declare(store: &Store, catalog: &Catalog, history: TimeRange) {
    let names: Vec<_> = catalog.slos.keys().cloned().collect();
    let mut tx = store.begin("declare").await.unwrap();
    tx.declare(&names).await.unwrap();
    tx.ensure_count_partitions(history).await.unwrap();
    tx.commit().await.unwrap();
}

/// Ninety-nine good events and a bad one in every minute of every SLO.
async fn fill(connection: &mut PgConnection, history: TimeRange) {
    for seconds in [60, 3_600, 86_400] {
        sqlx::query(
            "insert into event_counts (slo_id, resolution, bucket, writer, good, failed)
             select slos.id, $1, bucket, 0, 99 * $1 / 60, $1 / 60
             from slos, generate_series(
                 to_timestamp(floor(extract(epoch from $2::timestamptz) / $1) * $1), $3,
                 $1 * interval '1 second') as bucket",
        )
        .bind(seconds)
        .bind(history.from.to_chrono())
        .bind(history.to.to_chrono())
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    let statements = "update slos set first_event_at = (select min(bucket) from event_counts);
        vacuum analyze event_counts";
    for statement in statements.split(';') {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}

//! Whether a tick of the evaluator costs the same however long the history of its SLOs is, and what
//! SLOs cost whose events have stopped, and what an evaluation costs beside Prometheus and its rules.
//!
//! Run with `cargo bench --bench evaluating`, or a part with `-- history`, `-- idle` or `-- prometheus`. The
//! histories take turns; read the ratio of medians. The cost of idle SLOs is CPU time of this process and of
//! PostgreSQL, divided by the time between the ticks; other loops of the service are not in it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[path = "../consuming/postgres_cpu.rs"]
mod postgres_cpu;
mod process_cpu;
mod prometheus;
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

use self::{
    postgres_cpu::PostgresCpu,
    process_cpu::cpu_seconds,
    support::{DAY, Database, median, print_goal, unless_short},
};

const SLOS: usize = 40;
const TICKS: u32 = 60;
const INTERVAL: Duration = Duration::from_secs(5);
const HISTORIES: [u32; 2] = [1, 90];
const IDLE_SLOS: usize = 1_000;
/// Three minutes.
const IDLE_TICKS: u32 = 36;
/// Of the comparison with Prometheus, and the days of their history.
const COMPARED_SLOS: usize = 100;
const COMPARED_DAYS: u32 = 4;
const COMPARED_TICKS: u32 = 12;
const A_MINUTE: Events = Events { good: 99, bad: 1 };

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    let arguments = std::env::args().skip(1);
    let asked: Vec<String> = arguments.filter(|word| !word.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    if is_asked("history") {
        runtime.block_on(compare());
    }
    if is_asked("idle") {
        runtime.block_on(idle());
    }
    if is_asked("prometheus") {
        runtime.block_on(beside_prometheus());
    }
}

/// Measures evaluations of SLOs of which each has new events, PostgreSQL included.
async fn beside_prometheus() {
    let slos = unless_short(COMPARED_SLOS, 3);
    let database = Database::start().await;
    let now = Clock::System.now();
    let catalog = Arc::new(catalog(slos));
    let evaluator = evaluator(&database, &catalog, (COMPARED_DAYS, now)).await;
    let options = database.options.clone();
    let options = options.database(&format!("history_{COMPARED_DAYS}"));
    let mut connection = options.connect().await.unwrap();
    let postgres = PostgresCpu::find(&mut connection).await;
    evaluator.tick(now).await.unwrap();
    let spent = || cpu_seconds(std::process::id()) + postgres.seconds();
    let mut ours = 0.0;
    for turn in 1..=COMPARED_TICKS {
        let sql = "update event_counts set good = good + 1 where bucket = (select max(bucket) from event_counts
            where resolution = 60) and resolution = 60";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        let before = spent();
        let report = evaluator.tick(now + INTERVAL * turn).await.unwrap();
        ours += spent() - before;
        assert_eq!(report.evaluated, slos);
    }
    let ours = ours / f64::from(COMPARED_TICKS);
    database.stop().await;
    let theirs = prometheus::cpu_of_an_evaluation(slos, A_MINUTE, (COMPARED_DAYS, now));
    println!("an evaluation of {slos} SLOs: {ours:.3} CPU s; Prometheus: {theirs:.3} CPU s");
    let what = "CPU of an evaluation against Prometheus with Sloth's rules";
    print_goal(what, ours / theirs, ..=0.01);
}

/// Measures ticks over SLOs that had events five days ago: while an SLO is younger than the windows of
/// its rules (three days), its numbers change with its age and it is evaluated in every tick.
async fn idle() {
    let database = Database::start().await;
    let now = Clock::System.now();
    let store = database.create("idle", now).await;
    let slos = unless_short(IDLE_SLOS, 20);
    let catalog = Arc::new(catalog(slos));
    declare(&store, &catalog, TimeRange::new(now - DAY * 5, now)).await;
    let options = database.options.clone().database("idle");
    let mut connection = options.connect().await.unwrap();
    let minute = TimeRange::new(now - DAY * 5, now - DAY * 5);
    fill(&mut connection, minute, Events { good: 100, bad: 0 }).await;
    let postgres = PostgresCpu::find(&mut connection).await;
    let evaluator = with_catalog(store, catalog);
    evaluator.tick(now).await.unwrap();
    let own_cpu_seconds = || cpu_seconds(std::process::id());
    let (before, of_postgres) = (own_cpu_seconds(), postgres.seconds());
    for turn in 1..=IDLE_TICKS {
        let report = evaluator.tick(now + INTERVAL * turn).await.unwrap();
        assert_eq!(report.evaluated, slos);
    }
    let time = (INTERVAL * IDLE_TICKS).as_secs_f64();
    let own = (own_cpu_seconds() - before) / time;
    let of_postgres = (postgres.seconds() - of_postgres) / time;
    println!(
        "{slos} idle SLOs: {:.4} of a core, of which PostgreSQL {of_postgres:.4}",
        own + of_postgres
    );
    let what = format!("evaluations of {slos} idle SLOs, share of a core");
    print_goal(&what, own + of_postgres, ..=0.02);
    database.stop().await;
}

async fn compare() {
    let database = Database::start().await;
    let now = Clock::System.now();
    let (slos, ticks) = unless_short((SLOS, TICKS), (3, 3));
    let catalog = Arc::new(catalog(slos));
    let mut evaluators = Vec::new();
    for days in HISTORIES {
        evaluators.push(evaluator(&database, &catalog, (days, now)).await);
    }
    let mut millis = HISTORIES.map(|_| Vec::new());
    for turn in 1..=ticks {
        for (evaluator, millis) in evaluators.iter().zip(&mut millis) {
            let began = Instant::now();
            let report = evaluator.tick(now + INTERVAL * turn).await.unwrap();
            millis.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(report.evaluated, slos);
        }
    }
    let means = millis
        .each_ref()
        .map(|all| all.iter().sum::<f64>() / f64::from(ticks));
    let [short, long] = millis.map(median);
    println!("a tick over {slos} SLOs, each with events in every minute");
    println!("{} day: {short:.1} ms", HISTORIES[0]);
    println!(
        "{} days: {long:.1} ms, ratio {:.2}; of means, with the first tick of each minute, {:.2}",
        HISTORIES[1],
        long / short,
        means[1] / means[0]
    );
    let what = "a tick with 90 days of history against 1";
    print_goal(what, long / short, ..=1.2);
    database.stop().await;
}

/// SLOs with the built-in rules: eight windows each.
fn catalog(slos: usize) -> Catalog {
    let mut text = String::new();
    for number in 0..slos {
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
    let mut connection = options.connect().await.unwrap();
    fill(&mut connection, history, A_MINUTE).await;
    with_catalog(store, Arc::clone(catalog))
}

fn with_catalog(store: Store, catalog: Arc<Catalog>) -> Evaluator {
    let (_, catalog) = watch::channel(catalog);
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

/// The events of a minute.
#[derive(Clone, Copy)]
struct Events {
    good: i64,
    bad: i64,
}

/// Adds the same events to every minute of every SLO.
async fn fill(connection: &mut PgConnection, history: TimeRange, a_minute: Events) {
    for seconds in [60, 3_600, 86_400] {
        sqlx::query(
            "insert into event_counts (slo_id, resolution, bucket, writer, good, failed)
             select slos.id, $1, bucket, 0, $4 * $1 / 60, $5 * $1 / 60
             from slos, generate_series(
                 to_timestamp(floor(extract(epoch from $2::timestamptz) / $1) * $1), $3,
                 $1 * interval '1 second') as bucket",
        )
        .bind(seconds)
        .bind(history.from.to_chrono())
        .bind(history.to.to_chrono())
        .bind(a_minute.good)
        .bind(a_minute.bad)
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

//! How long it takes to drop an epoch of workflows that nobody needs any more, against `DELETE` and `VACUUM` of
//! as many rows of a table that looks the same, and how long writers wait for it.
//!
//! Run with `cargo bench --bench dropping`, for another number of workflows with it after that:
//! `-- 1000000`. Filling the tables takes most of the time.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "one round takes minutes")]
mod support;

use std::time::Duration;

use sqlx::{ConnectOptions as _, PgConnection};
use throughline::{
    clock::Clock,
    store::{PagesAStep, Progress, Store},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::support::{Database, HORIZON, print_goal, unless_short};

const WORKFLOWS: i64 = 5_000_000;
/// Rows of one statement.
const CHUNK: i64 = 500_000;
/// As the loop of the service waits between steps.
const PAUSE: Duration = Duration::from_millis(100);
const SLOS: &str = "insert into slos (name) select 'slo-' || n from generate_series(1, 100) as n";
/// Workflows of 100 SLOs that began three weeks ago, one of a hundred without an end.
const WORKFLOW_ROWS: &str = "
    insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us, trace_id,
        trace_rank, customer, outcome, judged_at)
    select 1 + n % 100, gen_random_uuid(), 0, 'order-' || n, at, case when is_good then at end, 60000000,
        gen_random_uuid(), 0, 'customer-' || n % 5000, case when is_good then 1 else 4 end, at
    from generate_series($1, $2) as n,
        lateral (select now() - interval '3 weeks' as at, n % 100 > 0 as is_good) as t";
const BAD_ROWS: &str = "
    insert into bad_workflows (slo_id, judged_at, key, epoch, outcome, customer, is_shared, started_at)
    select slo_id, judged_at, key, epoch, outcome, customer, false, started_at
    from workflows where outcome = 4";
const PLAIN_ROWS: &str = "create table plain_workflows (like workflows_0 including all);
    insert into plain_workflows select * from workflows_0; vacuum analyze plain_workflows, workflows;
    checkpoint";

fn main() {
    if !support::is_wanted() {
        return;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let workflows: i64 = asked.unwrap_or(unless_short(WORKFLOWS, 20_000));
    let database = Database::start().await;
    let opened = Clock::System.now() - HORIZON * 3;
    let store = database.create("dropping", opened).await;
    let options = database.options.clone().database("dropping");
    let mut connection = options.connect().await.unwrap();
    fill(&mut connection, workflows).await;
    let mut tx = store.begin("open the next epoch").await.unwrap();
    tx.ensure_epoch(opened + HORIZON, HORIZON).await.unwrap();
    tx.commit().await.unwrap();

    let mut plain = run(&mut connection, "delete from plain_workflows").await;
    plain += run(&mut connection, "vacuum plain_workflows").await;
    let dropped = CancellationToken::new();
    let ((steps, dropping), waited) = tokio::join!(
        async {
            let steps = drop_epoch(&store).await;
            dropped.cancel();
            steps
        },
        longest_wait(&store, &dropped)
    );
    let kept = count(&mut connection, "select count(*) from purged_workflows").await;
    assert_eq!(kept, workflows / 100, "those without an end");
    assert_eq!(
        count(&mut connection, "select count(*) from workflows").await,
        0
    );

    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let millions = workflows as f64 / 1e6;
    let pauses = PAUSE * u32::try_from(steps.len()).unwrap();
    println!("{workflows} workflows, seconds of a million");
    for (title, time) in [
        ("delete and vacuum", plain),
        ("looking for keys, and dropping", dropping),
        ("the same with the pauses between steps", dropping + pauses),
    ] {
        println!("{title:<40} {:>8.3}", time.as_secs_f64() / millions);
    }
    println!(
        "{} steps, the longest {:?}; a writer waited {waited:?} at most",
        steps.len(),
        steps.iter().max().unwrap()
    );
    let ratio = (dropping + pauses).as_secs_f64() / plain.as_secs_f64();
    print_goal(
        "dropping an epoch against deleting its workflows",
        ratio,
        ..=0.2,
    );
    database.stop().await;
}

async fn fill(connection: &mut PgConnection, workflows: i64) {
    run(connection, "set synchronous_commit = off").await;
    run(connection, SLOS).await;
    for first in (1..=workflows).step_by(usize::try_from(CHUNK).unwrap()) {
        sqlx::query(WORKFLOW_ROWS)
            .bind(first)
            .bind((first + CHUNK - 1).min(workflows))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    run(connection, BAD_ROWS).await;
    for statement in PLAIN_ROWS.split(';') {
        run(connection, statement).await;
    }
    run(connection, "set synchronous_commit = on").await;
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Duration {
    let began = Instant::now();
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
    began.elapsed()
}

async fn count(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Returns how long it took at most to begin a transaction that records.
async fn longest_wait(store: &Store, dropped: &CancellationToken) -> Duration {
    let mut longest = Duration::ZERO;
    while !dropped.is_cancelled() {
        let began = Instant::now();
        let (tx, _) = store.begin_recording("record nothing").await.unwrap();
        tx.commit().await.unwrap();
        longest = longest.max(began.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    longest
}

/// Drops the first epoch as the service does. Returns how long each step took, and all of them.
async fn drop_epoch(store: &Store) -> (Vec<Duration>, Duration) {
    let now = Clock::System.now();
    let all_began = Instant::now();
    let mut steps = Vec::new();
    loop {
        let began = Instant::now();
        let mut tx = store.begin("drop an epoch").await.unwrap();
        let progress = tx.drop_oldest_epoch(now, HORIZON, PagesAStep::DEFAULT);
        let progress = progress.await.unwrap();
        tx.commit().await.unwrap();
        if progress == Progress::Done {
            return (steps, all_began.elapsed());
        }
        steps.push(began.elapsed());
    }
}

//! How long people wait for a search, a workflow, a customer and durations with ten million workflows
//! in the database, and how much disk a workflow takes with and without the search.
//!
//! Run with `cargo bench --bench searching`, for fewer workflows with their number after it:
//! `-- 1000000`. Filling the tables takes most of the time.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

#[path = "../stalling/service.rs"]
#[expect(dead_code, reason = "this one looks at no memory")]
mod service;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "this one has the database of the service")]
mod support;

use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions as _, PgConnection};

use self::{
    service::Service,
    support::{Database, print_goal, unless_short},
};

const WORKFLOWS: i64 = 10_000_000;
/// Rows of one statement.
const CHUNK: i64 = 500_000;
const REQUESTS: i64 = 200;
const CUSTOMERS: i64 = 5_000;
const ORDERS: &str = r#"
apiVersion: throughline/v1
kind: SLO
metadata: { name: orders }
spec:
  objective: 99.5%
  window: 30d
  indicator:
    workflow:
      start:  '{ name = "order placed" }'
      finish: '{ name = "order confirmed" }'
      within: 1m
      correlate: [span.order.id]
  customer: span.customer.id
  notify: {}
"#;

/// Workflows of the last three days, one of a hundred late, all of them in the sums already.
const WORKFLOW_ROWS: &str = "
    insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us, trace_id,
        trace_rank, customer, outcome, judged_at, aggregated_outcome, aggregated_judged_at)
    select s.id, encode(substring(sha256(('key' || n)::bytea) for 16), 'hex')::uuid, e.epoch, 'order-' || n, at, at + interval '5 seconds', 60000000,
        encode(substring(sha256(('trace' || n)::bytea) for 16), 'hex')::uuid, 0, 'customer-' || n % $3, 1 + (n % 100 = 0)::int,
        at + interval '5 seconds', 1 + (n % 100 = 0)::int, at + interval '5 seconds'
    from generate_series($1, $2) as n, slos s, (select max(epoch) as epoch from epochs) as e,
        lateral (select now() - interval '3 days' * (n::float8 / $4::bigint) as at) as t";
const SEARCH_ROWS: &str = "
    insert into workflow_search
        (key, slo_id, started_second, trace_prefix, customer_hash, epoch, label)
    select w.key, w.slo_id, floor(extract(epoch from w.started_at) - 1577836800),
        ('x' || left(w.trace_id::text, 8))::bit(32)::integer,
        ('x' || left(encode(sha256(convert_to(w.customer, 'UTF8')), 'hex'), 8))::bit(32)::integer,
        w.epoch, w.label
    from workflows w";
const SIZE: &str = "select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
    from pg_inherits where inhparent = $1::regclass";

fn main() {
    if !support::is_wanted() {
        return;
    }
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let workflows: i64 = asked.unwrap_or(unless_short(WORKFLOWS, 20_000));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().unwrap();
    let database = runtime.block_on(Database::start());
    let url = database.options.to_url_lossy().to_string();
    let service = Service::start(ORDERS, Some(&url), &[]);
    runtime.block_on(async {
        let mut connection = database.options.connect().await.unwrap();
        fill(&mut connection, workflows).await;
    });
    let numbers = || (0..REQUESTS).map(|nth| 1 + nth * (workflows - 1) / REQUESTS);
    println!("{workflows} workflows, milliseconds        p50    p99");
    let trace = |n: i64| id(&format!("trace{n}"));
    let key = |n: i64| id(&format!("key{n}"));
    let questions: [(&str, &dyn Fn(i64) -> String); 8] = [
        ("by id", &|n| format!("/api/v1/workflows?q=order-{n}")),
        ("by the beginning of an id", &|n| {
            format!("/api/v1/workflows?q=order-{}", n / 100)
        }),
        ("by trace id", &|n| {
            format!("/api/v1/workflows?q={}", trace(n))
        }),
        ("by customer", &|n| {
            format!("/api/v1/workflows?customer=customer-{}", n % CUSTOMERS)
        }),
        ("bad ones of an SLO", &|_| {
            "/api/v1/workflows?slo=orders&outcome=bad".to_owned()
        }),
        ("the page of a workflow", &|n| {
            format!("/workflows/orders/{}", key(n))
        }),
        ("the page of a customer", &|n| {
            format!("/customers/customer-{}", n % CUSTOMERS)
        }),
        ("durations of 28 days", &|_| {
            "/slos/orders/durations?range=28d".to_owned()
        }),
    ];
    for (title, path) in questions {
        let mut millis: Vec<f64> = numbers()
            .map(|n| service.get(&path(n)).1.as_secs_f64() * 1e3)
            .collect();
        millis.sort_by(f64::total_cmp);
        let at = |share: usize| millis[(millis.len() * share / 100).min(millis.len() - 1)];
        println!("{title:<32} {:>6.1} {:>6.1}", at(50), at(99));
        let what = format!("search and pages of workflows, ms, p99, {title}");
        print_goal(&what, at(99), ..=50.0);
    }
    service.stop();
    runtime.block_on(database.stop());
}

/// The first 16 bytes of its SHA-256, as the statements have it.
fn id(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let first: [u8; 16] = std::array::from_fn(|at| digest[at]);
    uuid::Uuid::from_bytes(first).simple().to_string()
}

async fn fill(connection: &mut PgConnection, workflows: i64) {
    sqlx::raw_sql("set maintenance_work_mem = '1GB'; set synchronous_commit = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    for first in (1..=workflows).step_by(usize::try_from(CHUNK).unwrap()) {
        sqlx::query(WORKFLOW_ROWS)
            .bind(first)
            .bind((first + CHUNK - 1).min(workflows))
            .bind(CUSTOMERS)
            .bind(workflows)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    sqlx::query(SEARCH_ROWS)
        .execute(&mut *connection)
        .await
        .unwrap();
    for (table, goal) in [("workflows", 300.0), ("workflow_search", 200.0)] {
        let statement = sqlx::AssertSqlSafe(format!("vacuum analyze {table}"));
        sqlx::raw_sql(statement)
            .execute(&mut *connection)
            .await
            .unwrap();
        let bytes: i64 = sqlx::query_scalar(SIZE)
            .bind(table)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let each = bytes as f64 / workflows as f64;
        let what = format!("bytes a workflow with indexes, {table}");
        print_goal(&what, each, ..=goal);
    }
}

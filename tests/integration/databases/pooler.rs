//! A service whose connections all go through `PgBouncer`.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, postgres::PgConnectOptions};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    support::{
        api::until,
        database::TestDatabase,
        pooler::Pooler,
        receiver::{Receiver, Request},
        service::{Service, Site, program},
        workload::{Delivery, Workload},
    },
    system::orders_with_a_hook,
};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn site(url: &str, hook: &Receiver) -> Site {
    Site::new(&orders_with_a_hook())
        .variable("DATABASE_URL", url)
        .variable("HOOK_URL", &hook.url)
        .variable("HOOK_SECRET", SECRET)
}

/// Ends connections of the pooler to the server, one after the other.
async fn end_connections(database: &TestDatabase) {
    let mut connection = database.connect().await;
    for _ in 0..20 {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
             order by random() limit 1",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        sleep(Duration::from_millis(50)).await;
    }
}

/// Names that statements have on the server: of them others would know nothing.
async fn prepared(pooler: &Pooler, database: &TestDatabase) -> i64 {
    use sqlx::{ConnectOptions as _, Row as _};
    let url: PgConnectOptions = pooler.url(&database.options).parse().unwrap();
    let mut connection = { url }.extra_float_digits(None).connect().await.unwrap();
    let query = sqlx::raw_sql("select count(*) from pg_prepared_statements where name <> ''");
    query.fetch_one(&mut connection).await.unwrap().get(0)
}

#[tokio::test]
async fn two_replicas_behind_a_pooler_count_exactly_and_page_once_while_connections_end() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let pooler = Pooler::start(&database.options, "transaction").await;
    let hook = Receiver::start([]).await;
    let url = pooler.url(&database.options);
    let sites = [site(&url, &hook), site(&url, &hook)];
    let replicas = [sites[0].start().await, sites[1].start().await];
    let said = replicas[0].said();
    assert!(said.contains("a pooler is in front"), "{said}");
    let workload = Workload::of(1_500, 11);
    let doors = replicas.each_ref().map(|replica| replica.api.http.as_str());
    let mut load = Delivery::start(&workload, &doors);
    load.has_taken(20).await;
    end_connections(&database).await;
    load.finish().await;
    for replica in &replicas {
        replica.api.counts_become("orders", workload.expected).await;
    }
    Delivery::start(&workload, &doors).finish().await;
    let counts = replicas[1].api.counts("orders").await;
    assert_eq!(counts, workload.expected);
    until("the page", async || hook.requests().into_iter().next()).await;
    replicas[0].api.has_ticked("evaluate").await;
    let sent: Vec<_> = hook.requests().iter().map(Request::json).collect();
    let firing = sent
        .iter()
        .filter(|body| body["type"] == "slo.alert.firing");
    assert_eq!(firing.count(), 1, "{sent:?}");
    assert_eq!(prepared(&pooler, &database).await, 0);
}

/// An empty database of the server of `database`.
async fn empty(database: &TestDatabase) -> PgConnectOptions {
    let mut connection = database.connect().await;
    let name = format!("empty_{}", Uuid::now_v7().simple());
    let create = AssertSqlSafe(format!("create database {name}"));
    connection.execute(create).await.unwrap();
    database.options.clone().database(&name)
}

#[tokio::test]
async fn replicas_that_start_at_once_make_the_schema_through_a_pooler() {
    let database = TestDatabase::create().await;
    let empty = empty(&database).await;
    let pooler = Pooler::start(&empty, "transaction").await;
    let hook = Receiver::start([]).await;
    let url = pooler.url(&empty);
    let sites = [site(&url, &hook), site(&url, &hook)];
    let mut replicas: [Service; 2] = sites.each_ref().map(Site::spawn);
    for replica in &mut replicas {
        replica.ready().await;
    }
}

/// The exit code of `throughline doctor`, and what it says of the pooler.
fn examined(url: &str) -> (Option<i32>, Value) {
    let output = program()
        .env("DATABASE_URL", url)
        .args(["doctor", "-o", "json"])
        .output()
        .expect("the program starts");
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = view["checks"].as_array().unwrap().iter();
    let of_pooler = { checks }.find(|check| check["check"] == "database pooler");
    let of_pooler = of_pooler.unwrap_or_else(|| panic!("{view}")).clone();
    (output.status.code(), of_pooler)
}

#[tokio::test]
async fn the_doctor_names_the_mode_of_a_pooler_and_what_to_do() {
    let database = TestDatabase::create().await;
    for (mode, result) in [
        ("transaction", "ok"),
        ("session", "warn"),
        ("statement", "fail"),
    ] {
        let pooler = Pooler::start(&database.options, mode).await;
        let (_, of_pooler) = examined(&pooler.url(&database.options));
        assert_eq!(of_pooler["result"], result, "{mode}: {of_pooler}");
        if result != "ok" {
            let advice = of_pooler["advice"].as_str().unwrap();
            assert!(advice.contains("pool_mode = transaction"), "{of_pooler}");
        }
    }
    let socket = database.options.get_socket().unwrap();
    let direct = socket.display().to_string().replace('/', "%2F");
    let name = database.options.get_database().unwrap();
    let user = database.options.get_username();
    let (_, of_pooler) = examined(&format!("postgres://{user}@{direct}/{name}"));
    assert_eq!(of_pooler["result"], "ok", "{of_pooler}");
    assert!(of_pooler["text"].as_str().unwrap().starts_with("none"));
}

#[tokio::test]
async fn a_service_refuses_a_pooler_in_statement_mode_at_once() {
    let database = TestDatabase::create().await;
    let pooler = Pooler::start(&database.options, "statement").await;
    let hook = Receiver::start([]).await;
    let site = site(&pooler.url(&database.options), &hook);
    let (status, said) = site.spawn().ended().await;
    assert!(!status.success());
    assert!(said.contains("is in statement mode"), "{said}");
    assert!(said.contains("pool_mode = transaction"), "{said}");
}

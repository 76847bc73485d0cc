//! A database that takes no writes, or says no word: senders keep what they have until it does again.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use tokio::{task::JoinSet, time::Instant};

use super::assert_exact;
use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    link::Link,
    service::Site,
    workload::{Delivery, ORDERS, Workload},
};

/// As it becomes when a failover or a full disk makes it so: every connection begins anew.
async fn set_read_only(connection: &mut PgConnection, database: &str, value: &str) {
    let sql = format!(
        "alter database {database} set default_transaction_read_only = {value};
         select pg_terminate_backend(pid) from pg_stat_activity
         where datname = '{database}' and pid <> pg_backend_pid();"
    );
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_goes_read_only_is_answered_with_503_and_nothing_is_lost() {
    let database = TestDatabase::create().await;
    let name = database.options.get_database().unwrap();
    let mut connection = database.connect().await;
    let site = Site::on(&database, ORDERS).flag("--catch-up", "1s");
    let service = site.start().await;
    let workload = Workload::of(1_000, 6);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(100).await;

    set_read_only(&mut connection, name, "on").await;
    // What was on its way is over once all eight senders have heard of it.
    until("answers 503", async || {
        (load.unavailable() >= 16).then_some(())
    })
    .await;
    let taken = load.taken();
    until("more answers 503", async || {
        (load.unavailable() >= 32).then_some(())
    })
    .await;
    assert_eq!(load.taken(), taken, "nothing can be taken");

    set_read_only(&mut connection, name, "off").await;
    load.finish().await;
    assert_eq!(load.unanswered() + load.unreachable(), 0);
    assert_exact(&service.api, &workload).await;
}

#[tokio::test]
async fn a_database_that_says_no_word_is_answered_for_within_three_seconds() {
    let database = TestDatabase::create().await;
    let mut link = Link::to(&database);
    link.open().await;
    let site = Site::new(ORDERS).variable("DATABASE_URL", &link.url);
    let service = site.start().await;
    let workload = Workload::good(60, 7);
    let (first, second) = workload.requests.split_at(20);
    for request in first {
        assert_eq!(send(&service.api, request.clone()).await.0, 200);
    }

    link.hold();
    let mut waiting = JoinSet::new();
    for request in second.iter().cloned() {
        let api = service.api.clone();
        waiting.spawn(async move { send(&api, request).await });
    }
    for (status, after) in waiting.join_all().await {
        assert_eq!(status, 503);
        assert!(after < Duration::from_secs(3), "answered after {after:?}");
    }
    assert_eq!(service.api.status("/healthz").await, Some(200));
    assert_eq!(service.api.status("/readyz").await, Some(503));

    link.release();
    Delivery::start(&workload, &[&service.api.http])
        .finish()
        .await;
    assert_exact(&service.api, &workload).await;
}

#[tokio::test]
async fn a_database_that_vanished_without_a_word_is_found_again() {
    let database = TestDatabase::create().await;
    let mut link = Link::to(&database);
    link.open().await;
    let site = Site::new(ORDERS)
        .variable("DATABASE_URL", &link.url)
        .flag("--catch-up", "1s");
    let service = site.start().await;
    let workload = Workload::of(1_000, 8);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(100).await;
    link.strand();
    load.finish().await;
    assert!(load.unavailable() > 0);
    assert_eq!(load.unanswered() + load.unreachable(), 0);
    for tick in ["heartbeat", "overdue", "evaluate"] {
        service.api.has_ticked(tick).await;
    }
    assert_exact(&service.api, &workload).await;
}

/// The answer, and how long it took. With 503 comes when to try again.
async fn send(api: &Api, request: Vec<u8>) -> (u16, Duration) {
    let began = Instant::now();
    let sending = api
        .client
        .post(format!("{}/v1/traces", api.http))
        .header("content-type", "application/x-protobuf")
        .body(request)
        .send();
    let response = sending.await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(
        status == 503,
        response.headers().contains_key("retry-after")
    );
    (status, began.elapsed())
}

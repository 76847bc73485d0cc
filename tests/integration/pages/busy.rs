//! What the pages' port answers while the database is busy, read-only or only just in use: readers keep
//! nobody else from their work, and the service does not call itself ready.

use std::{sync::Arc, time::Duration};

use axum::Router;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use throughline::{
    clock::ManualClock,
    store::{ConnectionUse, Store},
    web::{DefinitionsStatus, IngestFacts, ReadinessCheck, WebState, router},
};
use tokio::{sync::watch, task::JoinSet};

use super::{client::get, fixture};
use crate::support::{app::web::web_state, database::TestDatabase};

/// Pages of a service that has just started.
fn pages(store: &Store, clock: &ManualClock) -> Router {
    let (_catalog, catalog) = watch::channel(Arc::default());
    let (_definitions, definitions) = watch::channel(Arc::new(DefinitionsStatus {
        loaded_at: Some(clock.now()),
        ..DefinitionsStatus::default()
    }));
    let state = web_state(
        store.for_use(ConnectionUse::Pages),
        clock.clone(),
        catalog,
        definitions,
        IngestFacts::default(),
    );
    router(WebState {
        readiness: ReadinessCheck::new(clock.now()),
        ..state
    })
}

fn clock() -> ManualClock {
    ManualClock::new(fixture::now())
}

/// As an `alter table` does, or a query that reads too much.
const LOCK: &str = "begin; lock table slos in access exclusive mode";

#[tokio::test]
async fn readers_of_pages_hold_up_neither_recording_nor_the_loops() {
    let database = TestDatabase::create().await;
    let mut past = database.connect().await;
    past.execute(LOCK).await.unwrap();
    let store = Store::new(database.options.clone(), 4);
    let router = pages(&store, &clock());
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let router = router.clone();
        readers.spawn(async move { get(&router, "/").await });
    }
    for purpose in [ConnectionUse::Recording, ConnectionUse::Loops] {
        let tx = store.for_use(purpose).begin("work").await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(get(&router, "/healthz").await.status, 200);

    // One at work until its statement is cancelled, and fifteen that wait for its place.
    let answers = readers.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 503));
    let waited = answers.iter().filter(|answer| {
        answer.header("retry-after") == "2"
            && answer
                .body
                .contains("too many requests are being processed")
    });
    assert_eq!(waited.count(), 15);

    past.execute("rollback").await.unwrap();
    assert_eq!(get(&router, "/").await.status, 200);
}

/// Why it is not ready.
async fn reasons(router: &Router) -> Value {
    let answer = get(router, "/readyz").await;
    let reasons = answer.json()["reasons"].clone();
    assert_eq!(answer.status == 200, reasons == json!([]), "{reasons}");
    reasons
}

#[tokio::test]
async fn a_service_whose_database_takes_no_writes_is_not_ready() {
    let database = TestDatabase::create().await;
    let clock = clock();
    let router = pages(&database.store, &clock);
    assert_eq!(reasons(&router).await, json!([]));
    let name = database.options.get_database().unwrap();
    let read_only = format!("alter database {name} set default_transaction_read_only = on");
    let mut past = database.connect().await;
    past.execute(AssertSqlSafe(read_only)).await.unwrap();

    let begun_since = Store::new(database.options.clone(), 4);
    let router = pages(&begun_since, &clock);
    let why = "the database takes no writes: it is read-only, or its disk is full";
    assert_eq!(reasons(&router).await, json!([why]));
}

#[tokio::test]
async fn a_service_is_ready_once_all_slos_were_evaluated_or_a_minute_after_its_start() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let clock = clock();
    let router = pages(&database.store, &clock);
    let why = "1 SLO was not evaluated since the start";
    assert_eq!(reasons(&router).await, json!([why]));

    clock.advance(Duration::from_secs(5));
    let mut past = database.connect().await;
    sqlx::query(
        "insert into slo_statuses (slo_id, evaluated_at, status, state) values (1, $1, '{}', 'ok')",
    )
    .bind(clock.now().to_chrono())
    .execute(&mut past)
    .await
    .unwrap();
    assert_eq!(reasons(&router).await, json!([]));

    clock.advance(Duration::from_secs(1));
    let restarted = pages(&database.store, &clock);
    assert_eq!(reasons(&restarted).await, json!([why]));
    clock.advance(Duration::from_mins(1));
    assert_eq!(reasons(&restarted).await, json!([]));
}

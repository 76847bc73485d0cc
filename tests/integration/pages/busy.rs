//! Readers who ask for more than the database can give keep nobody else from their work.

use std::sync::Arc;

use axum::Router;
use sqlx::Executor as _;
use throughline::{
    clock::ManualClock,
    store::{ConnectionUse, Store},
    web::{IngestFacts, router},
};
use tokio::{sync::watch, task::JoinSet};

use super::{client::get, fixture};
use crate::support::{app::web::web_state, database::TestDatabase};

/// Pages with a single connection, and nothing in their database.
fn pages(store: &Store) -> Router {
    let (_catalog, catalog) = watch::channel(Arc::default());
    let (_definitions, definitions) = watch::channel(Arc::default());
    router(web_state(
        store.for_use(ConnectionUse::Pages),
        ManualClock::new(fixture::now()),
        catalog,
        definitions,
        IngestFacts::default(),
    ))
}

/// As an `alter table` does, or a query that reads too much.
const LOCK: &str = "begin; lock table slos in access exclusive mode";

#[tokio::test]
async fn readers_of_pages_hold_up_neither_recording_nor_the_loops() {
    let database = TestDatabase::create().await;
    let mut past = database.connect().await;
    past.execute(LOCK).await.unwrap();
    let store = Store::new(database.options.clone(), 4);
    let router = pages(&store);
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
        answer.header("retry-after") == "2" && answer.body.contains("too many requests are at work")
    });
    assert_eq!(waited.count(), 15);

    past.execute("rollback").await.unwrap();
    assert_eq!(get(&router, "/").await.status, 200);
}

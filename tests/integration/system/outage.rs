//! Nobody may be paged because we were away.

use std::time::Duration;

use throughline::{
    clock::ManualClock,
    domain::model::{counts::EventCounts, time::Timestamp},
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::clock::open;
use crate::support::{
    api::Api,
    database::TestDatabase,
    workload::{ORDERS, now, send},
};

const OUTAGE: Duration = Duration::from_mins(25);
/// The longest step that is no outage is ten seconds; senders have twenty to catch up.
const STEP: Duration = Duration::from_secs(9);

type Traces = Vec<[u8; 16]>;

fn traces(count: usize) -> Traces {
    (0..count).map(|_| rand::random()).collect()
}

/// The service on a runtime of its own, so that all that it does can end in the middle of it.
struct Machine {
    runtime: Option<Runtime>,
    api: Api,
}

impl Machine {
    async fn start(database: &TestDatabase, clock: &ManualClock) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (database, clock) = (
            TestDatabase {
                store: database.store.clone(),
                options: database.options.clone(),
            },
            clock.clone(),
        );
        let (opened, is_open) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let definitions = tempfile::tempdir().unwrap();
            std::fs::write(definitions.path().join("orders.yaml"), ORDERS).unwrap();
            let (app, api) = open(&database, definitions.path(), &clock).await;
            opened.send(api).unwrap();
            app.run(CancellationToken::new()).await
        });
        let machine = Self {
            runtime: Some(runtime),
            api: is_open.await.expect("the service starts"),
        };
        machine.settle().await;
        machine
    }

    /// In this order a false timeout would be found, judged and told.
    async fn settle(&self) {
        for name in ["heartbeat", "overdue", "evaluate"] {
            self.api.has_ticked(name).await;
        }
    }

    async fn send(&self, name: &str, traces: &[[u8; 16]], at: Timestamp) {
        send(&self.api, name, traces, at).await;
    }

    async fn assert_counts(&self, good: i64, timeout: i64) {
        let expected = EventCounts {
            good,
            timeout,
            ..EventCounts::ZERO
        };
        assert_eq!(self.api.counts("orders").await, expected);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn transitions(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("select count(*) from alert_transitions")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn s30_25_minutes_of_our_outage_and_the_replay_after_it_page_nobody() {
    let database = TestDatabase::create().await;
    let began = now();
    let clock = ManualClock::new(began);
    let (before, in_flight) = (traces(20), traces(20));
    let (during, lost) = (traces(40), traces(3));
    let machine = Machine::start(&database, &clock).await;
    machine.send("order placed", &before, began).await;
    machine.send("order confirmed", &before, began).await;
    machine.send("order placed", &in_flight, began).await;
    drop(machine);

    clock.set(began + OUTAGE);
    let machine = Machine::start(&database, &clock).await;
    machine.assert_counts(20, 0).await;
    // Starts first, as if nothing of it had ended.
    let placed = began + Duration::from_mins(5);
    machine.send("order placed", &during, placed).await;
    machine.send("order placed", &lost, placed).await;
    for _ in 0..2 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
        machine.assert_counts(20, 0).await;
    }
    let confirmed = began + Duration::from_secs(30);
    machine.send("order confirmed", &in_flight, confirmed).await;
    let confirmed = placed + Duration::from_secs(30);
    machine.send("order confirmed", &during, confirmed).await;
    machine.assert_counts(80, 0).await;
    // Once all had their time, what never came is overdue: too little to page anyone. While ends arrive
    // late, nothing that is newer than they are is.
    for _ in 0..3 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
    }
    machine.assert_counts(80, 3).await;
    assert_eq!(transitions(&database).await, 0);
}

//! What waits in the log times nothing out, and pages nobody, however long it waits.

use std::time::Duration;

use throughline::{
    clock::ManualClock,
    domain::model::{counts::EventCounts, time::Timestamp},
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{Cluster, SpanLog, has_read};
use crate::{
    support::{
        api::Api,
        database::TestDatabase,
        span::{request, span},
        workload::{ORDERS, now},
    },
    system::clock::open_with,
};

/// The longest step that is no outage is ten seconds; senders have twenty to catch up.
pub(super) const STEP: Duration = Duration::from_secs(9);

pub(super) type Traces = Vec<[u8; 16]>;

pub(super) fn traces(count: usize) -> Traces {
    (0..count).map(|_| rand::random()).collect()
}

/// A message with a span of this name for each of the traces.
pub(super) fn message(name: &str, traces: &[[u8; 16]], at: Timestamp) -> Vec<u8> {
    let spans: Vec<_> = traces
        .iter()
        .map(|trace| span(name).trace_of(trace))
        .collect();
    request(&spans, at)
}

/// A service on a runtime of its own, so that all that it does can end in the middle of it.
pub(super) struct Machine {
    runtime: Option<Runtime>,
    pub(super) api: Api,
}

impl Machine {
    pub(super) async fn start(log: &SpanLog, database: &TestDatabase, clock: &ManualClock) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let database = TestDatabase {
            store: database.store.clone(),
            options: database.options.clone(),
        };
        let (clock, flags) = (clock.clone(), log.flags());
        let (opened, is_open) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let definitions = tempfile::tempdir().unwrap();
            std::fs::write(definitions.path().join("orders.yaml"), ORDERS).unwrap();
            let (app, api) = open_with(&database, definitions.path(), &clock, &flags).await;
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
    pub(super) async fn settle(&self) {
        for name in ["kafka", "heartbeat", "overdue", "evaluate"] {
            self.api.has_ticked(name).await;
        }
    }

    pub(super) async fn assert_counts(&self, good: i64, timeout: i64) {
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
async fn s30_two_hours_in_which_nobody_reads_the_log_and_the_catch_up_page_nobody() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let began = now();
    let clock = ManualClock::new(began);
    let (before, in_flight) = (traces(20), traces(20));
    let (during, lost) = (traces(40), traces(3));
    let machine = Machine::start(&cluster, &database, &clock).await;
    let first = [
        message("order placed", &before, began),
        message("order confirmed", &before, began),
        message("order placed", &in_flight, began),
    ];
    cluster.write(&first).await;
    has_read(&machine.api, first.len()).await;
    machine.settle().await;
    machine.assert_counts(20, 0).await;
    drop(machine);

    // Nobody reads for two hours, and then the brokers are away as well.
    let placed = began + Duration::from_mins(5);
    let confirmed = began + Duration::from_secs(30);
    let waiting = [
        message("order placed", &during, placed),
        message("order placed", &lost, placed),
        message("order confirmed", &in_flight, confirmed),
        message("order confirmed", &during, placed + Duration::from_secs(30)),
    ];
    cluster.write(&waiting).await;
    cluster.mock.broker_down(1).unwrap();
    clock.set(began + Duration::from_hours(2));
    let machine = Machine::start(&cluster, &database, &clock).await;
    // Long after senders of OTLP had their time.
    for _ in 0..3 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
        machine.assert_counts(20, 0).await;
    }
    cluster.mock.broker_up(1).unwrap();
    has_read(&machine.api, waiting.len()).await;
    let good = |good| EventCounts {
        good,
        ..EventCounts::ZERO
    };
    machine.api.counts_become("orders", good(80)).await;
    // What never came is overdue, and too little to page anyone. While ends arrive late, nothing that is
    // newer than they are is.
    for _ in 0..3 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
    }
    let overdue = EventCounts {
        timeout: 3,
        ..good(80)
    };
    machine.api.counts_become("orders", overdue).await;
    assert_eq!(transitions(&database).await, 0);
}

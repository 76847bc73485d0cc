//! What waits in the log times nothing out, and pages nobody, however long it waits.

use std::time::Duration;

use throughline::{
    clock::ManualClock,
    domain::model::{counts::EventCounts, time::Timestamp},
};

use super::{Cluster, has_read};
use crate::{
    support::{
        database::TestDatabase,
        span::{request, span},
        workload::now,
    },
    system::machine::{Machine, STEP, traces, transitions},
};

/// A message with a span of this name for each of the traces.
pub(crate) fn message(name: &str, traces: &[[u8; 16]], at: Timestamp) -> Vec<u8> {
    let spans: Vec<_> = traces
        .iter()
        .map(|trace| span(name).trace_of(trace))
        .collect();
    request(&spans, at)
}

#[tokio::test]
async fn s30_two_hours_in_which_nobody_reads_the_log_and_the_catch_up_page_nobody() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let began = now();
    let clock = ManualClock::new(began);
    let (before, in_flight) = (traces(20), traces(20));
    let (during, lost) = (traces(40), traces(3));
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
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
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
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

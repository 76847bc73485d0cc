//! Messages that were removed before they were read, or whose topic was.

use std::time::Duration;

use throughline::{clock::ManualClock, domain::model::counts::EventCounts};

use super::{Cluster, catch_up::message, has_read};
use crate::{
    support::{database::TestDatabase, workload::now},
    system::machine::{Machine, STEP, traces},
};

/// The cluster keeps 5 MiB of a partition.
pub(super) fn filler() -> Vec<Vec<u8>> {
    // A field that OTLP does not know, of a million bytes.
    let mut message = vec![0xfa, 0x01, 0xc0, 0x84, 0x3d];
    message.resize(message.len() + 1_000_000, 0);
    vec![message; 8]
}

#[tokio::test]
async fn what_was_removed_before_it_was_read_is_lost_evidence_and_no_timeout() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let clock = ManualClock::new(now());
    let waiting = traces(10);
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
    cluster
        .write(&[message("order placed", &waiting, clock.now())])
        .await;
    has_read(&machine.api, 1).await;
    machine.settle().await;
    drop(machine);

    let confirmed = message("order confirmed", &waiting, clock.now() + STEP);
    cluster.write(&[confirmed]).await;
    cluster.write(&filler()).await;
    clock.set(clock.now() + Duration::from_mins(25));
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
    for _ in 0..4 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
    }
    let expected = EventCounts {
        evidence_lost: 10,
        ..EventCounts::ZERO
    };
    machine.api.counts_become("orders", expected).await;
    let lost = machine
        .api
        .metric("throughline_kafka_lost_messages_total")
        .await;
    assert!(lost >= Some(2.0), "{lost:?}");

    // What is placed from now on is judged as ever.
    let later = traces(2);
    let placed = clock.now() + Duration::from_mins(1);
    cluster
        .write(&[message("order placed", &later, placed)])
        .await;
    clock.set(clock.now() + Duration::from_mins(5));
    for _ in 0..4 {
        machine.settle().await;
        clock.set(clock.now() + STEP);
    }
    let expected = EventCounts {
        timeout: 2,
        ..expected
    };
    machine.api.counts_become("orders", expected).await;
}

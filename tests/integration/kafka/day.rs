//! A topic that is not read for longer than a day: deadlines wait, however long that takes.

use std::time::Duration;

use throughline::clock::ManualClock;

use super::{Cluster, SpanLog, catch_up::message, has_read};
use crate::{
    support::{app::good, database::TestDatabase, workload::now},
    system::machine::{Machine, STEP, traces},
};

/// Orders that a service has read, which is then gone. They were confirmed since.
async fn placed_before(cluster: &SpanLog, database: &TestDatabase, clock: &ManualClock) {
    let orders = traces(20);
    let machine = Machine::start(database, clock, &cluster.flags()).await;
    let began = clock.now();
    cluster
        .write(&[message("order placed", &orders, began)])
        .await;
    has_read(&machine.api, 1).await;
    machine.settle().await;
    drop(machine);
    let confirmed = began + Duration::from_secs(30);
    clock.set(confirmed);
    cluster
        .write(&[message("order confirmed", &orders, confirmed)])
        .await;
}

/// Senders of OTLP have had their time.
async fn nothing_times_out(machine: &Machine, clock: &ManualClock) {
    for _ in 0..3 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
        machine.assert_counts(0, 0).await;
    }
}

#[tokio::test]
async fn brokers_that_are_away_for_a_day_are_waited_for_by_a_replica_that_starts() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let clock = ManualClock::new(now());
    placed_before(&cluster, &database, &clock).await;
    cluster.mock.broker_down(1).unwrap();
    clock.set(clock.now() + Duration::from_hours(25));
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
    nothing_times_out(&machine, &clock).await;
    cluster.mock.broker_up(1).unwrap();
    has_read(&machine.api, 1).await;
    machine.api.counts_become("orders", good(20)).await;
}

//! A topic that is not read for longer than a day: deadlines wait, however long that takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, spawn},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use throughline::clock::ManualClock;

use super::{Cluster, SpanLog, TOPIC, catch_up::message, has_read};
use crate::{
    support::{api::until, app::good, database::TestDatabase, workload::now},
    system::machine::{Machine, STEP, traces},
};

/// Another program in the consumer group, which reads what it is assigned.
struct OtherMember {
    is_over: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl OtherMember {
    /// Waits until it has a partition.
    async fn joined(cluster: &SpanLog) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &cluster.brokers)
            .set("group.id", "throughline")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .create()
            .unwrap();
        consumer.subscribe(&[TOPIC]).unwrap();
        let (is_over, has_some) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (ends, assigned) = (Arc::clone(&is_over), Arc::clone(&has_some));
        let reading = spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                drop(consumer.poll(Duration::from_millis(50)));
                let count = consumer.assignment().unwrap().count();
                AtomicBool::store(&assigned, count > 0, Ordering::Relaxed);
            }
        });
        until("a partition of another program", async || {
            has_some.load(Ordering::Relaxed).then_some(())
        })
        .await;
        Self {
            is_over,
            reading: Some(reading),
        }
    }
}

impl Drop for OtherMember {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(reading) = self.reading.take() {
            drop(reading.join());
        }
    }
}

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
async fn a_partition_that_another_program_of_the_group_holds_for_a_day_is_waited_for() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let clock = ManualClock::new(now());
    placed_before(&cluster, &database, &clock).await;
    let _other = OtherMember::joined(&cluster).await;
    let machine = Machine::start(&database, &clock, &cluster.flags()).await;
    clock.set(clock.now() + Duration::from_hours(25));
    nothing_times_out(&machine, &clock).await;
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

//! A topic that is deleted while it is read, and created again with fewer partitions.

use std::time::Duration;

use throughline::{clock::ManualClock, domain::model::counts::EventCounts};

use super::{Cluster, TOPIC, catch_up::message, has_read, problems};
use crate::{
    support::{api::until, database::TestDatabase, relay::Relay, workload::now},
    system::machine::{Machine, STEP, traces},
};

async fn partitions(database: &TestDatabase) -> Vec<i32> {
    sqlx::query_scalar("select partition from kafka_partitions order by partition")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_topic_that_is_gone_is_waited_for_and_what_its_successor_lacks_is_lost_evidence() {
    let (old, new) = (Cluster::new(4), Cluster::new(2));
    let none = Cluster::without_topic(1);
    let unknown = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    none.mock.topic_error(TOPIC, unknown).unwrap();
    let relay = Relay::to(&old.brokers).await;
    let (database, clock) = (TestDatabase::create().await, ManualClock::new(now()));
    let flags = [format!("--kafka-brokers={}", relay.brokers)];
    let machine = Machine::start(&database, &clock, &flags).await;
    let waiting = traces(12);
    let placed = waiting.chunks(3).map(<[_]>::to_vec);
    let placed = placed.map(|some| message("order placed", &some, clock.now()));
    old.write(&placed.collect::<Vec<_>>()).await;
    has_read(&machine.api, 4).await;
    machine.settle().await;
    assert_eq!(partitions(&database).await, [0, 1, 2, 3]);

    // A day without it times nothing out: it may come back.
    relay.turn_to(&none.brokers);
    until("a word that it is gone", async || {
        let said = problems(&database).await;
        said.contains("does not exist").then_some(())
    })
    .await;
    clock.set(clock.now() + Duration::from_hours(25));
    for _ in 0..4 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
        machine.assert_counts(0, 0).await;
    }

    relay.turn_to(&new.brokers);
    until("no problem", async || {
        problems(&database).await.is_empty().then_some(())
    })
    .await;
    for _ in 0..12 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
    }
    let lost = EventCounts {
        evidence_lost: 12,
        ..EventCounts::ZERO
    };
    machine.api.counts_become("orders", lost).await;
    assert_eq!(partitions(&database).await, [0, 1]);

    // What is placed from now on is judged as ever.
    let later = traces(2);
    let placed = message("order placed", &later, clock.now());
    new.write(&[placed]).await;
    has_read(&machine.api, 5).await;
    clock.set(clock.now() + STEP);
    for _ in 0..14 {
        machine.settle().await;
        clock.set(clock.now() + STEP);
    }
    let expected = EventCounts { timeout: 2, ..lost };
    machine.api.counts_become("orders", expected).await;
}

//! Everything at once: the database is away, replicas die and come, and messages are there twice.

use std::{str::FromStr as _, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use sqlx::postgres::PgConnectOptions;
use throughline::{
    clock::ManualClock,
    domain::model::{counts::EventCounts, time::Timestamp},
};

use super::{Cluster, catch_up::message, replicas::all_are_committed};
use crate::{
    support::{api::until, database::TestDatabase, link::Link, workload::now},
    system::machine::{Machine, STEP, Traces, traces, transitions},
};

const AWAY: Duration = Duration::from_mins(25);
const ORDERS: i64 = 600;

/// Messages of six spans in an order of no sense, of which three in ten come twice.
fn mixed(spans: &[(&str, &Traces, Timestamp)], seed: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let of = |(name, traces, at): &(&str, &Traces, Timestamp)| -> Vec<Vec<u8>> {
        traces
            .chunks(6)
            .map(|some| message(name, some, *at))
            .collect()
    };
    let mut messages: Vec<_> = spans.iter().flat_map(of).collect();
    messages.shuffle(&mut random);
    let twice = messages.len() * 3 / 10;
    messages.extend_from_within(..twice);
    messages.shuffle(&mut random);
    messages
}

/// No end that waited in the log was ever taken for missing: a timeout that was none would be corrected.
async fn assert_nothing_was_taken_for_missing(machine: &Machine, database: &TestDatabase) {
    let corrected = "throughline_slo_corrected_events_total";
    let metrics = machine.api.text("/metrics").await;
    let samples = metrics.lines().filter(|line| line.starts_with(corrected));
    let values: Vec<_> = samples
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert!(!values.is_empty());
    assert!(values.iter().all(|value| *value == "0"), "{values:?}");
    assert_eq!(transitions(database).await, 0);
}

#[tokio::test]
async fn s30_25_minutes_without_a_database_while_replicas_die_and_come_lose_nothing_and_page_nobody()
 {
    let (cluster, database) = (Cluster::new(6), TestDatabase::create().await);
    let mut link = Link::to(&database);
    link.open().await;
    let linked = TestDatabase {
        store: database.store.clone(),
        options: PgConnectOptions::from_str(&link.url).unwrap(),
    };
    let (began, flags) = (now(), cluster.flags());
    let clock = ManualClock::new(began);
    let (first, second) = (traces(300), traces(300));
    let lost = traces(3);
    let (one, other) = (
        Machine::start(&linked, &clock, &flags).await,
        Machine::start(&linked, &clock, &flags).await,
    );
    let before = mixed(&[("order placed", &first, began)], 1);
    cluster.write(&before).await;
    all_are_committed(&database, before.len()).await;

    // The database is away, one replica dies, and its partitions go to the other one.
    link.hold();
    let placed = began + Duration::from_mins(5);
    let soon = Duration::from_secs(30);
    let during = mixed(
        &[
            ("order confirmed", &first, began + soon),
            ("order placed", &second, placed),
            ("order placed", &lost, placed),
            ("order confirmed", &second, placed + soon),
        ],
        2,
    );
    let (at_once, later) = during.split_at(during.len() / 2);
    clock.set(placed + soon);
    cluster.write(at_once).await;
    until("a word that the database is away", async || {
        (other.api.status("/readyz").await == Some(503)).then_some(())
    })
    .await;
    drop(one);
    clock.set(began + AWAY);
    cluster.write(later).await;

    // It is back, another replica comes, and the next one dies while it catches up.
    link.release();
    let third = Machine::start(&linked, &clock, &flags).await;
    drop(other);
    all_are_committed(&database, before.len() + during.len()).await;
    let good = EventCounts {
        good: ORDERS,
        ..EventCounts::ZERO
    };
    third.api.counts_become("orders", good).await;
    // Once the dead replicas are given up, what never ended is overdue, and too little to page anyone.
    let overdue = EventCounts { timeout: 3, ..good };
    for _ in 0..6 {
        clock.set(clock.now() + STEP);
        third.settle().await;
    }
    third.api.counts_become("orders", overdue).await;
    assert_nothing_was_taken_for_missing(&third, &database).await;
}

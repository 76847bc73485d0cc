//! Nobody may be paged because we were away.

use std::time::Duration;

use throughline::clock::ManualClock;

use super::machine::{Machine, STEP, traces, transitions};
use crate::support::{
    database::TestDatabase,
    workload::{now, send},
};

const OUTAGE: Duration = Duration::from_mins(25);

#[tokio::test]
async fn s30_25_minutes_of_our_outage_and_the_replay_after_it_page_nobody() {
    let database = TestDatabase::create().await;
    let began = now();
    let clock = ManualClock::new(began);
    let (before, in_flight) = (traces(20), traces(20));
    let (during, lost) = (traces(40), traces(3));
    let machine = Machine::start(&database, &clock, &[]).await;
    send(&machine.api, "order placed", &before, began).await;
    send(&machine.api, "order confirmed", &before, began).await;
    send(&machine.api, "order placed", &in_flight, began).await;
    drop(machine);

    clock.set(began + OUTAGE);
    let machine = Machine::start(&database, &clock, &[]).await;
    machine.assert_counts(20, 0).await;
    // Starts first, as if nothing of it had ended.
    let placed = began + Duration::from_mins(5);
    send(&machine.api, "order placed", &during, placed).await;
    send(&machine.api, "order placed", &lost, placed).await;
    for _ in 0..2 {
        clock.set(clock.now() + STEP);
        machine.settle().await;
        machine.assert_counts(20, 0).await;
    }
    let confirmed = began + Duration::from_secs(30);
    send(&machine.api, "order confirmed", &in_flight, confirmed).await;
    let confirmed = placed + Duration::from_secs(30);
    send(&machine.api, "order confirmed", &during, confirmed).await;
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

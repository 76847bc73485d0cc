//! Ends without a warning and with one, in the middle of a load.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use super::{assert_exact, machine::transitions, orders_with_a_hook};
use crate::support::{
    api::until,
    database::TestDatabase,
    receiver::Receiver,
    service::{Site, postmaster},
    workload::{Delivery, ORDERS, Workload, now},
};

#[tokio::test]
async fn a_service_that_is_killed_again_and_again_counts_every_order_once() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS).flag("--catch-up", "1s");
    let workload = Workload::of(1_500, 1);
    let mut service = site.start().await;
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    for taken in [100, 250, 400] {
        load.has_taken(taken).await;
        service.kill();
        service = site.start().await;
    }
    load.finish().await;
    assert!(
        load.unanswered() + load.unreachable() > 0,
        "it was killed under load"
    );
    assert_exact(&service.api, &workload).await;
}

/// Deadlines pass during the load, so that a replica which judged without the spans that senders still
/// keep would page.
#[tokio::test]
async fn two_replicas_of_which_one_is_killed_again_and_again_count_every_order_once_and_page_nobody()
 {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let hook = Receiver::start([]).await;
    let site = || {
        Site::on(&database, &orders_with_a_hook())
            .flag("--evaluation-interval", "500ms")
            .flag("--catch-up", "5m")
            .variable("HOOK_URL", &hook.url)
            .variable("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    };
    let (one, other) = (site(), site());
    let (staying, mut killed) = tokio::join!(one.start(), other.start());
    let workload = Workload::in_time(3_000, now() - Duration::from_secs(55), 9);
    let (mut unanswered, mut unreachable) = (0, 0);
    for (part, requests) in workload
        .requests
        .chunks(workload.requests.len().div_ceil(3))
        .enumerate()
    {
        let part_of_load = Workload {
            requests: requests.to_vec(),
            expected: workload.expected,
        };
        let mut load = Delivery::start(&part_of_load, &[&staying.api.http, &killed.api.http]);
        // At first soon: from then on, deadlines wait for the senders of the killed one.
        load.has_taken(1 + part * requests.len() / 6).await;
        killed.kill();
        if part == 1 {
            database.close_connections().await;
        }
        let (started, ()) = tokio::join!(other.start(), load.finish());
        killed = started;
        unanswered += load.unanswered();
        unreachable += load.unreachable();
    }
    assert!(unanswered + unreachable > 0, "it was killed under load");
    assert_exact(&staying.api, &workload).await;
    assert_eq!(killed.api.counts("orders").await, workload.expected);
    for replica in [&staying, &killed] {
        replica.api.has_ticked("overdue").await;
        replica.api.has_ticked("evaluate").await;
    }
    assert_eq!(staying.api.counts("orders").await, workload.expected);
    assert_eq!(transitions(&database).await, 0);
    assert_eq!(hook.requests().len(), 0);
}

#[tokio::test]
async fn a_service_whose_postgres_is_killed_gets_it_back_and_loses_nothing() {
    let site = Site::embedded(ORDERS).flag("--catch-up", "1s");
    let workload = Workload::of(6_000, 2);
    let service = site.start().await;
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    for taken in [100, 300] {
        load.has_taken(taken).await;
        let server = postmaster(&site.data()).expect("the server runs");
        kill(server, Signal::SIGKILL).unwrap();
        until("another server", async || {
            postmaster(&site.data()).filter(|now| *now != server)
        })
        .await;
    }
    load.finish().await;
    assert_eq!(
        load.unanswered() + load.unreachable(),
        0,
        "the service was there all the time"
    );
    assert_exact(&service.api, &workload).await;
}

#[tokio::test]
async fn a_service_that_is_killed_takes_its_postgres_along_and_finds_all_that_it_answered() {
    let site = Site::embedded(ORDERS).flag("--catch-up", "1s");
    let workload = Workload::of(600, 3);
    let service = site.start().await;
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(60).await;
    service.kill();
    let service = site.start().await;
    load.finish().await;
    assert_exact(&service.api, &workload).await;
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_has_counted_what_it_answered_and_stops_its_postgres() {
    let site = Site::embedded(ORDERS);
    let workload = Workload::good(2_000, 4);
    let service = site.start().await;
    let server = postmaster(&site.data()).expect("the server runs");
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(150).await;
    service.signal(Signal::SIGTERM);
    let (status, said) = service.ended().await;
    load.stop().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(postmaster(&site.data()), None, "its server was stopped");
    kill(server, None).expect_err("nothing of it is left");
    assert!(load.taken() < 2_000, "it was stopped under load");

    let service = site.start().await;
    let counted = service.api.counts("orders").await.good;
    let (least, most) = (load.taken(), load.taken() + load.unanswered());
    let counted = usize::try_from(counted).unwrap();
    assert!(
        (least..=most).contains(&counted),
        "{counted} of {least} to {most}"
    );
    Delivery::start(&workload, &[&service.api.http])
        .finish()
        .await;
    assert_exact(&service.api, &workload).await;
}

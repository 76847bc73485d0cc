//! Ends without a warning and with one, in the middle of a load.

use nix::sys::signal::{Signal, kill};

use super::assert_exact;
use crate::support::{
    api::until,
    database::TestDatabase,
    service::{Site, postmaster},
    workload::{Delivery, ORDERS, Workload},
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

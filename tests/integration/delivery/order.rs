//! One alert's messages reach a target in their order; targets do not wait for each other.

use std::{sync::Arc, time::Duration};

use throughline::{
    deliver::{DeliverSettings, Dispatcher},
    domain::notify::delivery::{
        AttemptClass::{Delivered, Unavailable},
        DeliveryState,
    },
};

use tokio::sync::Notify;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

fn kinds(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests();
    let kind = |request: &crate::support::receiver::Request| {
        request.json()["type"].as_str().unwrap().to_owned()
    };
    requests.iter().map(kind).collect()
}

#[tokio::test]
pub(crate) async fn t16_a_resolve_waits_for_its_firing_that_failed() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(500, String::new())]).await;
    let target = world.declare_webhook("hook", &receiver.url);
    world.fires("checkout", &[&target]).await;
    world.resolves("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Unavailable]);
    assert_eq!(
        world.deliver(&target).await.attempts,
        [],
        "the resolve overtook"
    );
    world.advance(10);
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    assert_eq!(
        kinds(&receiver),
        ["slo.alert.firing", "slo.alert.firing", "slo.alert.resolved"]
    );
}

#[tokio::test]
async fn alerts_of_other_slos_do_not_wait_for_one_that_fails() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(500, String::new())]).await;
    let target = world.declare_webhook("hook", &receiver.url);
    world.fires("first", &[&target]).await;
    world.deliver(&target).await;
    world.fires("second", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
}

#[tokio::test]
pub(crate) async fn t17_a_slow_target_does_not_delay_another() {
    let mut world = TestBench::with(DeliverSettings::default()).await;
    let slow = Receiver::start([Reply::Hang]).await;
    let quick = Receiver::start([]).await;
    let slow_target = world.declare_webhook("slow", &slow.url);
    let quick_target = world.declare_webhook("quick", &quick.url);
    let mut dispatcher = Dispatcher::new(world.deliverer.clone());
    world
        .fires("checkout", &[&slow_target, &quick_target])
        .await;
    world.is_cut_short();
    dispatcher.tick(world.now).await.unwrap();
    slow.wait_for(1).await;
    quick.wait_for(1).await;

    // The slow one has 20 s; a new alert passes it by meanwhile.
    world.fires("search", &[&slow_target, &quick_target]).await;
    let arrival = async {
        while quick.requests().len() < 2 {
            dispatcher.tick(world.now).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), arrival)
        .await
        .expect("the quick target is not delayed");
    assert_eq!(slow.requests().len(), 1, "one turn of a target at a time");
}

#[tokio::test]
async fn what_is_being_sent_is_finished_before_the_end() {
    let mut world = TestBench::with(DeliverSettings::default()).await;
    let gate = Arc::new(Notify::new());
    let receiver = Receiver::start([Reply::Gate(Arc::clone(&gate))]).await;
    let target = world.declare_webhook("hook", &receiver.url);
    let mut dispatcher = Dispatcher::new(world.deliverer.clone());
    let transition = world.fires("checkout", &[&target]).await;
    dispatcher.tick(world.now).await.unwrap();
    receiver.wait_for(1).await;
    gate.notify_one();
    let ended = dispatcher.drain().await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].target, target);
    assert_eq!(ended[0].result.as_ref().unwrap().attempts, [Delivered]);
    let (delivery, _) = world.delivery(transition).await;
    assert_eq!(delivery.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_page_is_given_up_after_a_day() {
    let mut world = TestBench::create().await;
    let receiver =
        Receiver::start([500, 500].map(|status| Reply::Status(status, String::new()))).await;
    let target = world.declare_webhook("hook", &receiver.url);
    let transition = world.fires("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Unavailable]);
    world.advance(24 * 3_600);
    assert_eq!(world.deliver(&target).await.dead, 1);
    let (dead, attempts) = world.delivery(transition).await;
    assert_eq!(dead.state, DeliveryState::Failed);
    assert_eq!((dead.http_status, attempts.len()), (Some(500), 2));
    assert_eq!(world.deliver(&target).await.attempts, []);
}

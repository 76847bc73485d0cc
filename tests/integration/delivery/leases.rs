//! Replicas that die, freeze or are too slow: nothing is lost, and what is repeated is known by its
//! id.

use std::{sync::Arc, time::Duration};

use throughline::{
    deliver::{DeliverSettings, Deliverer, StartDelivererError},
    domain::notify::delivery::{
        AttemptClass::{Delivered, Unreadable},
        DeliveryState,
    },
};
use tokio::sync::{Notify, watch};

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

#[tokio::test]
pub(crate) async fn t18_a_crash_between_sending_and_settling_repeats_under_the_same_id() {
    let mut world = TestBench::with(DeliverSettings::default()).await;
    let receiver = Receiver::start([Reply::Hang]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    let transition = world.fires("checkout", &[&hook]).await;
    tokio::select! {
        _ = world.deliver(&hook) => panic!("the receiver hangs"),
        () = receiver.wait_for(1) => {}
    }
    assert_eq!(
        world.delivery(transition).await.0.state,
        DeliveryState::Leased
    );
    world.advance(59);
    assert_eq!(world.deliver(&hook).await.attempts, [], "the lease holds");
    world.advance(1);
    assert_eq!(world.deliver(&hook).await.attempts, [Delivered]);
    let requests = receiver.requests();
    assert_eq!(
        requests[0].headers["webhook-id"],
        requests[1].headers["webhook-id"]
    );
    assert_eq!(requests[0].body, requests[1].body);
    // The signature is that of the try: receivers refuse what is older than five minutes.
    assert_ne!(
        requests[0].headers["webhook-timestamp"],
        requests[1].headers["webhook-timestamp"]
    );
}

#[tokio::test]
pub(crate) async fn t18_slack_is_told_that_a_message_may_be_a_repeat() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Hang]).await;
    let slack = world.declare_slack("slack", &receiver.url);
    world.fires("checkout", &[&slack]).await;
    world.deliver(&slack).await;
    world.advance(10);
    assert_eq!(world.deliver(&slack).await.attempts, [Delivered]);
    let says_repeat = |index: usize| {
        String::from_utf8_lossy(&receiver.requests()[index].body).contains("may be a repeat")
    };
    assert_eq!([says_repeat(0), says_repeat(1)], [false, true]);
}

#[tokio::test]
async fn a_lost_lease_is_noticed_and_changes_nothing() {
    let mut world = TestBench::with(DeliverSettings::default()).await;
    let gate = Arc::new(Notify::new());
    let receiver = Receiver::start([Reply::Gate(Arc::clone(&gate))]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    let transition = world.fires("checkout", &[&hook]).await;
    let later = world.now + Duration::from_mins(1);
    let frozen = world.deliver(&hook);
    let other = async {
        receiver.wait_for(1).await;
        let report = world.deliverer.deliver_due(&hook, later).await.unwrap();
        let settled = world.delivery(transition).await.0;
        gate.notify_one();
        (report, settled)
    };
    let (frozen, (other, settled)) = tokio::join!(frozen, other);
    assert_eq!((other.leases_lost, frozen.leases_lost), (0, 1));
    let (delivery, attempts) = world.delivery(transition).await;
    assert_eq!(delivery, settled, "the late one changed it");
    assert_eq!(attempts.len(), 2, "but what it did is on record");
}

#[tokio::test]
pub(crate) async fn t09_two_replicas_tell_a_target_once() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    for index in 0..8 {
        world.fires(&format!("slo-{index}"), &[&hook]).await;
    }
    let mut told = 0;
    while told < 8 {
        let (one, other) = tokio::join!(world.deliver(&hook), world.deliver(&hook));
        told += one.attempts.len() + other.attempts.len();
    }
    let ids: std::collections::HashSet<String> = receiver
        .requests()
        .iter()
        .map(|request| request.headers["webhook-id"].clone())
        .collect();
    assert_eq!((ids.len(), receiver.requests().len()), (8, 8));
}

#[tokio::test]
async fn facts_of_another_version_wait_for_a_replica_that_can_read_them() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    world.fires("checkout", &[&hook]).await;
    world
        .execute("update alert_transitions set snapshot = jsonb_build_object('was', snapshot)")
        .await;
    assert_eq!(world.deliver(&hook).await.attempts, [Unreadable]);
    world
        .execute("update alert_transitions set snapshot = snapshot -> 'was'")
        .await;
    world.advance(10);
    assert_eq!(world.deliver(&hook).await.attempts, [Delivered]);
}

#[tokio::test]
async fn a_lease_that_a_slow_target_could_outlast_is_refused_at_the_start() {
    let world = TestBench::create().await;
    let settings = DeliverSettings {
        lease: Duration::from_secs(30),
        ..DeliverSettings::default()
    };
    let (_sender, catalog) = watch::channel(Arc::default());
    let refused = Deliverer::new(world.database.store.clone(), catalog, settings);
    assert!(matches!(
        refused,
        Err(StartDelivererError::ShortLease { .. })
    ));
}

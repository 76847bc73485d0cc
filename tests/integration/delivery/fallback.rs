//! Another target stands in while the first is not reached: once, in words, and to the end.

use std::sync::Arc;

use throughline::domain::{
    model::ids::Name,
    notify::delivery::{
        AttemptClass::{Delivered, Misconfigured, Rejected, Unavailable},
        DeliveryState,
    },
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

fn down(times: usize) -> Vec<Reply> {
    vec![Reply::Status(503, String::new()); times]
}

/// A pager that answers by the script, and a webhook that stands in for it.
struct Pair {
    world: TestBench,
    first: Receiver,
    second: Receiver,
    pager: Name,
    hook: Name,
}

impl Pair {
    async fn create(script: Vec<Reply>) -> Self {
        let world = TestBench::create().await;
        let first = Receiver::start(script).await;
        let second = Receiver::start([]).await;
        let pager = world.declare_pagerduty("pager", &first.url);
        let hook = world.declare_webhook("hook", &second.url);
        world.fall_back(&pager, &hook);
        Self {
            world,
            first,
            second,
            pager,
            hook,
        }
    }

    async fn escalate(&self) -> u64 {
        let world = &self.world;
        world.deliverer.escalate(world.now).await.unwrap()
    }

    fn kinds(&self) -> Vec<String> {
        let requests = self.second.requests();
        let kind = |request: &crate::support::receiver::Request| {
            request.json()["type"].as_str().unwrap().to_owned()
        };
        requests.iter().map(kind).collect()
    }
}

#[tokio::test]
async fn a_page_that_is_two_minutes_on_its_way_is_told_to_the_fallback_once() {
    let mut pair = Pair::create(down(2)).await;
    pair.world.fires("checkout", &[&pair.pager]).await;
    pair.world.deliver(&pair.pager).await;
    pair.world.advance(119);
    assert_eq!(pair.escalate().await, 0);
    pair.world.advance(1);
    let (one, other) = tokio::join!(pair.escalate(), pair.escalate());
    assert_eq!(one + other, 1, "two replicas");
    assert_eq!(pair.escalate().await, 0);
    assert_eq!(pair.world.deliver(&pair.hook).await.attempts, [Delivered]);
    let notes = &pair.second.requests()[0].json()["data"]["notes"];
    assert_eq!(
        notes[0]["text"],
        "Sent here because pager cannot be reached"
    );
    assert_eq!(notes[0]["target"], "pager");

    // When the first answers again it hears of it, and why so late.
    pair.world.deliver(&pair.pager).await;
    pair.world.advance(720);
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, [Delivered]);
    let last = pair.first.requests().pop().unwrap().json();
    let summary = last["payload"]["summary"].as_str().unwrap();
    assert!(
        summary.ends_with("Delayed 14 min, was sent to hook meanwhile"),
        "{summary}"
    );
}

#[tokio::test]
async fn who_stood_in_hears_of_the_end_as_well() {
    let mut pair = Pair::create(down(1)).await;
    let fired = pair.world.fires("checkout", &[&pair.pager]).await;
    pair.world.deliver(&pair.pager).await;
    pair.world.advance(130);
    pair.escalate().await;
    pair.world.deliver(&pair.hook).await;
    let told = pair.world.told_of(fired).await;
    assert_eq!(told, ["hook", "pager"], "who hears of the end by the rule");

    // The end was written before the hand over, or after it: both are told.
    pair.world
        .resolves("checkout", &[&pair.pager, &pair.hook])
        .await;
    pair.world.deliver(&pair.hook).await;
    assert_eq!(pair.kinds(), ["slo.alert.firing", "slo.alert.resolved"]);
}

#[tokio::test]
async fn an_end_that_is_known_already_follows_the_beginning_to_the_fallback() {
    let mut pair = Pair::create(down(9)).await;
    pair.world.redeclare(&pair.pager, |target| {
        target.late = throughline::domain::slo::LatePolicy::Deliver;
    });
    pair.world.fires("checkout", &[&pair.pager]).await;
    pair.world.deliver(&pair.pager).await;
    pair.world.advance(60);
    pair.world.resolves("checkout", &[&pair.pager]).await;
    pair.world.advance(60);
    assert_eq!(pair.escalate().await, 2);
    for _ in 0..2 {
        assert_eq!(pair.world.deliver(&pair.hook).await.attempts, [Delivered]);
    }
    assert_eq!(pair.kinds(), ["slo.alert.firing", "slo.alert.resolved"]);
}

#[tokio::test]
pub(crate) async fn t21_the_fallback_of_a_broken_target_takes_over_at_once() {
    let mut pair = Pair::create(vec![Reply::Status(404, String::new())]).await;
    pair.world.fires("checkout", &[&pair.pager]).await;
    assert_eq!(
        pair.world.deliver(&pair.pager).await.attempts,
        [Misconfigured]
    );
    assert_eq!(pair.escalate().await, 1);
    // While it is broken, so is whatever comes new, before it was tried.
    pair.world.episode = Uuid::from_u128(2);
    pair.world.fires("search", &[&pair.pager]).await;
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, []);
    assert_eq!(pair.escalate().await, 1);
    let told = pair.world.deliver(&pair.hook).await;
    assert_eq!(told.attempts, [Delivered, Delivered]);

    // Every five minutes a page is tried; what waits follows it.
    pair.world.advance(299);
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, []);
    pair.world.advance(61);
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, [Delivered]);
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, [Delivered]);
}

#[tokio::test]
pub(crate) async fn t20_what_a_target_refuses_is_told_to_the_fallback_and_holds_up_nothing() {
    let refusal = r#"{"status":"invalid event","errors":["no"]}"#;
    let mut pair = Pair::create(vec![Reply::Status(400, refusal.to_owned())]).await;
    let refused = pair.world.fires("checkout", &[&pair.pager]).await;
    assert_eq!(pair.world.deliver(&pair.pager).await.attempts, [Rejected]);
    assert_eq!(
        pair.world.delivery(refused).await.0.state,
        DeliveryState::Failed
    );
    assert_eq!(pair.escalate().await, 1);
    assert_eq!(pair.world.deliver(&pair.hook).await.attempts, [Delivered]);
    pair.world.resolves("checkout", &[&pair.pager]).await;
    assert_eq!(
        pair.world.deliver(&pair.pager).await.attempts,
        [Delivered],
        "the refused one is out of the way"
    );
}

#[tokio::test]
async fn a_fallback_that_fails_too_hands_nothing_on() {
    let mut pair = Pair::create(down(9)).await;
    let third = pair.world.declare_webhook("third", "http://127.0.0.1:1");
    pair.world.fall_back(&pair.hook, &third);
    pair.world.fires("checkout", &[&pair.pager]).await;
    pair.world.deliver(&pair.pager).await;
    for _ in 0..10 {
        pair.world.advance(130);
        pair.escalate().await;
    }
    assert_eq!(pair.world.count_of("third").await, 0);
    assert_eq!(pair.world.count_of("hook").await, 1);
}

#[tokio::test]
async fn a_fallback_that_is_told_in_its_own_right_is_told_once() {
    let mut pair = Pair::create(down(9)).await;
    pair.world
        .fires("checkout", &[&pair.pager, &pair.hook])
        .await;
    pair.world.deliver(&pair.pager).await;
    pair.world.advance(130);
    assert_eq!(pair.escalate().await, 0);
    assert_eq!(pair.world.count_of("hook").await, 1);
}

#[tokio::test]
pub(crate) async fn t12_a_page_of_another_day_goes_to_no_fallback_either() {
    let mut pair = Pair::create(Vec::new()).await;
    pair.world.fires("checkout", &[&pair.pager]).await;
    pair.world.advance(3 * 86_400);
    assert_eq!(pair.escalate().await, 0);
    assert_eq!(pair.world.deliver(&pair.pager).await.expired, 1);
    assert_eq!(pair.escalate().await, 0);
}

#[tokio::test]
pub(crate) async fn t19_the_circuit_breaker_is_shared_and_lets_one_through() {
    let mut world = TestBench::create().await;
    let probe = Arc::new(Notify::new());
    let script = down(8).into_iter().chain([Reply::Gate(Arc::clone(&probe))]);
    let receiver = Receiver::start(script).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    for index in 0..9 {
        world.fires(&format!("slo-{index}"), &[&hook]).await;
    }
    for _ in 0..2 {
        assert_eq!(world.deliver(&hook).await.attempts, [Unavailable; 4]);
    }
    let arrived = receiver.requests().len();
    let other = world.replica();
    world.advance(10);
    let report = other.deliver_due(&hook, world.now).await.unwrap();
    assert_eq!(report.attempts, [], "another replica knows");
    world.advance(6);
    let meanwhile = async {
        receiver.wait_for(arrived + 1).await;
        let report = other.deliver_due(&hook, world.now).await;
        probe.notify_one();
        report
    };
    let (one, two) = tokio::join!(world.deliver(&hook), meanwhile);
    let probes = one.attempts.len() + two.unwrap().attempts.len();
    assert_eq!((probes, receiver.requests().len()), (1, arrived + 1));
    // It was taken, so all the others follow at once.
    assert_eq!(world.deliver(&hook).await.attempts.len(), 4);
}

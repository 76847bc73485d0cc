//! What targets show, held against how the alerts stand; and what was given up, tried again.

use throughline::{
    deliver::{Reconciler, Reconciliation},
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{
            AttemptClass::{Delivered, Rejected},
            DeliveryState,
        },
    },
    store::Retried,
};
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

const NONE: Reconciliation = Reconciliation {
    ends: 0,
    beginnings: 0,
};

fn reconciler(world: &TestBench) -> Reconciler {
    Reconciler::new(world.database.store.clone(), world.catalog())
}

/// An SLO has a status of now.
async fn evaluated(world: &TestBench, slo: &str) {
    sqlx::query(
        "insert into slo_statuses (slo_id, evaluated_at, status, state)
         select id, $2, '{}', 'ok' from slos where name = $1
         on conflict (slo_id) do update set evaluated_at = excluded.evaluated_at",
    )
    .bind(slo)
    .bind(world.now.to_chrono())
    .execute(&mut world.database.connect().await)
    .await
    .unwrap();
}

/// Somebody wants the only delivery of a transition to be tried again.
async fn retry(world: &TestBench, transition: Uuid) -> Retried {
    let id = sqlx::query_scalar("select id from deliveries where transition_id = $1")
        .bind(transition)
        .fetch_one(&mut world.database.connect().await)
        .await
        .unwrap();
    let mut tx = world.database.store.begin("try again").await.unwrap();
    let retried = tx.retry_delivery(id, world.now).await.unwrap();
    tx.commit().await.unwrap();
    retried
}

async fn last_repair(world: &TestBench) -> Option<Timestamp> {
    let mut tx = world.database.store.begin("look").await.unwrap();
    tx.last_reconciled_at().await.unwrap()
}

async fn delivered(world: &TestBench, receiver: &Receiver, target: &Name) -> serde_json::Value {
    assert_eq!(world.deliver(target).await.attempts, [Delivered]);
    receiver.requests().pop().unwrap().json()
}

#[tokio::test]
async fn an_end_that_got_lost_is_told_to_who_shows_the_alert_as_firing() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    world.fires("checkout", &[&pager]).await;
    delivered(&world, &receiver, &pager).await;
    world.resolves("checkout", &[]).await;
    let reconciler = reconciler(&world);
    assert_eq!(
        reconciler.tick(world.now).await.unwrap(),
        NONE,
        "a moment ago"
    );
    assert_eq!(last_repair(&world).await, None);
    world.advance(61);
    let (one, other) = tokio::join!(reconciler.tick(world.now), reconciler.tick(world.now));
    assert_eq!(one.unwrap().ends + other.unwrap().ends, 1, "two replicas");
    assert_eq!(last_repair(&world).await, Some(world.now));
    let message = delivered(&world, &receiver, &pager).await;
    assert_eq!(message["event_action"], "resolve");
    world.advance(61);
    assert_eq!(reconciler.tick(world.now).await.unwrap(), NONE);
}

#[tokio::test]
async fn what_is_on_its_way_told_or_given_up_is_not_repaired() {
    let mut world = TestBench::create().await;
    let refusal = Reply::Status(400, String::new());
    let receiver = Receiver::start([Reply::Status(202, String::new()), refusal]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    world.fires("checkout", &[&pager]).await;
    world.deliver(&pager).await;
    world.resolves("checkout", &[&pager]).await;
    let reconciler = reconciler(&world);
    world.advance(61);
    assert_eq!(
        reconciler.tick(world.now).await.unwrap(),
        NONE,
        "on its way"
    );
    assert_eq!(world.deliver(&pager).await.attempts, [Rejected]);
    world.advance(61);
    assert_eq!(reconciler.tick(world.now).await.unwrap(), NONE, "given up");
}

#[tokio::test]
async fn a_page_that_nobody_shows_is_delivered_after_all() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    world.fires("checkout", &[&hook]).await;
    world
        .execute("update deliveries set state = 'expired', settled_at = now()")
        .await;
    world
        .execute(
            "update alerts set state = 'firing', rule = 'fast', since = at, episode = t.episode
             from alert_transitions t where t.slo_id = alerts.slo_id",
        )
        .await;
    evaluated(&world, "checkout").await;
    let reconciler = reconciler(&world);
    world.advance(299);
    assert_eq!(reconciler.tick(world.now).await.unwrap(), NONE);
    world.advance(2);
    evaluated(&world, "checkout").await;
    let repairs = reconciler.tick(world.now).await.unwrap();
    assert_eq!(repairs.beginnings, 1);
    let message = delivered(&world, &receiver, &hook).await;
    assert_eq!(message["type"], "slo.alert.firing");
    assert_eq!(reconciler.tick(world.now).await.unwrap(), NONE);
}

#[tokio::test]
async fn what_was_given_up_is_tried_again_with_what_followed_it() {
    let mut world = TestBench::create().await;
    let refuse = || Reply::Status(400, String::new());
    let receiver = Receiver::start([refuse(), refuse()]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let fired = world.fires("checkout", &[&pager]).await;
    let ended = world.resolves("checkout", &[&pager]).await;
    for _ in 0..2 {
        assert_eq!(world.deliver(&pager).await.attempts, [Rejected]);
    }
    assert_eq!(retry(&world, fired).await, Retried::OnItsWay(2));
    assert_eq!(
        retry(&world, ended).await,
        Retried::Not(DeliveryState::Pending)
    );
    world.redeclare(&pager, |target| {
        target.late = throughline::domain::slo::LatePolicy::Deliver;
    });
    for action in ["trigger", "resolve"] {
        assert_eq!(
            delivered(&world, &receiver, &pager).await["event_action"],
            action
        );
    }
}

#[tokio::test]
async fn what_a_target_has_been_told_the_end_of_is_not_tried_again() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(400, String::new())]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let fired = world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Rejected]);
    world.resolves("checkout", &[&pager]).await;
    delivered(&world, &receiver, &pager).await;
    assert_eq!(retry(&world, fired).await, Retried::Overtaken);
}

#[tokio::test]
async fn a_broken_target_is_asked_at_once_when_somebody_tries_again() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(404, String::new())]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    let fired = world.fires("checkout", &[&hook]).await;
    world.deliver(&hook).await;
    world
        .execute("update deliveries set state = 'failed', settled_at = now()")
        .await;
    world.episode = Uuid::from_u128(2);
    assert_eq!(retry(&world, fired).await, Retried::OnItsWay(1));
    assert_eq!(world.deliver(&hook).await.attempts, [Delivered]);
}

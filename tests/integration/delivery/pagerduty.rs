//! A resolve comes under the routing key of its trigger, or PagerDuty drops it without a word.

use throughline::domain::{
    model::ids::Name,
    notify::delivery::AttemptClass::{Delivered, SecretMissing},
    slo::{SecretRef, TargetKind},
};

use super::world::TestBench;
use crate::support::receiver::Receiver;

const OLD: &str = "00000000000000000000000000000001";
const NEW: &str = "00000000000000000000000000000002";

fn declare(world: &TestBench, url: &str, key: SecretRef, former: Option<SecretRef>) -> Name {
    let kind = TargetKind::PagerDuty {
        routing_key: key,
        previous_routing_key: former,
        url: Some(url.to_owned()),
    };
    world.declare("pager", kind)
}

fn keys(receiver: &Receiver) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let requests = receiver.requests();
    let key = requests.iter().map(|request| {
        let body = request.json();
        (text(&body["event_action"]), text(&body["routing_key"]))
    });
    key.collect()
}

#[tokio::test]
async fn a_key_that_is_rotated_while_an_alert_fires_still_resolves_it() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let pager = declare(&world, &receiver.url, world.secret("key", OLD), None);
    world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    world.secret("key", NEW);
    world.resolves("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    let expected = [("trigger", OLD), ("resolve", OLD)];
    assert_eq!(
        keys(&receiver),
        expected.map(|(action, key)| (action.to_owned(), key.to_owned()))
    );
}

#[tokio::test]
async fn after_a_restart_the_former_key_must_be_kept_somewhere_and_the_resolve_waits_for_it() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let key = world.secret("key", OLD);
    let pager = declare(&world, &receiver.url, key.clone(), None);
    world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    world.secret("key", NEW);
    world.restart();
    let resolved = world.resolves("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [SecretMissing]);
    let (_, attempts) = world.delivery(resolved).await;
    let excerpt = attempts[0].excerpt.clone().unwrap();
    assert!(excerpt.contains("`previousRoutingKey`"), "{excerpt}");
    let rows = world.all_rows().await;
    assert!(rows.contains("fingerprint") && !rows.contains(OLD) && !rows.contains(NEW));

    let former = world.secret("former", OLD);
    declare(&world, &receiver.url, key, Some(former));
    world.advance(10);
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    assert_eq!(keys(&receiver)[1].1, OLD);
}

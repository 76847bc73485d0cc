//! Hundreds of alerts at once: each is told, within what a target takes and people can read.

use throughline::domain::{
    model::ids::Name,
    notify::delivery::AttemptClass::{Delivered, Unavailable},
};
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

async fn storm(world: &mut TestBench, count: u128, target: &Name) {
    for index in 0..count {
        world.episode = Uuid::from_u128(100 + index);
        world.fires(&format!("slo-{index}"), &[target]).await;
    }
}

#[tokio::test]
pub(crate) async fn t31_a_storm_is_ten_messages_to_slack_and_a_digest_within_a_second_each() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let slack = world.declare_slack("slack", &receiver.url);
    storm(&mut world, 47, &slack).await;
    // Two, and the digest of the other 37: three at once are taken.
    let report = world.deliver(&slack).await;
    assert_eq!(report.attempts, [Delivered; 39]);
    assert_eq!(receiver.requests().len(), 3);
    assert_eq!(
        world.deliver(&slack).await.attempts,
        [],
        "its second is not over"
    );
    for _ in 0..8 {
        world.advance(1);
        assert_eq!(world.deliver(&slack).await.attempts, [Delivered]);
    }
    world.advance(1);
    assert_eq!(world.deliver(&slack).await.attempts, []);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 11);
    let digests = requests.iter().filter(|request| {
        let text = request.json()["text"].as_str().unwrap().to_owned();
        text == "37 more alerts at once: 37 began"
    });
    assert_eq!(digests.count(), 1);
}

#[tokio::test]
pub(crate) async fn t31_what_a_digest_tells_is_not_lost_when_it_fails() {
    let mut world = TestBench::create().await;
    let down = [(); 3].map(|()| Reply::Status(503, String::new()));
    let receiver = Receiver::start(down).await;
    let slack = world.declare_slack("slack", &receiver.url);
    storm(&mut world, 20, &slack).await;
    assert_eq!(world.deliver(&slack).await.attempts, [Unavailable; 12]);
    let mut told = 0;
    for _ in 0..30 {
        world.advance(10);
        told += world.deliver(&slack).await.attempts.len();
    }
    assert_eq!(told, 20);
    // The end of one that only a digest told is told like any other.
    world.episode = Uuid::from_u128(100 + 19);
    world.resolves("slo-19", &[&slack]).await;
    world.advance(10);
    assert_eq!(world.deliver(&slack).await.attempts, [Delivered]);
    let last = receiver.requests().pop().unwrap();
    let text = String::from_utf8_lossy(&last.body).into_owned();
    assert!(
        text.contains("RESOLVED") && !text.contains("before this could be delivered"),
        "{text}"
    );
}

#[tokio::test]
pub(crate) async fn t31_pages_to_pagerduty_are_told_one_by_one_at_its_pace() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    storm(&mut world, 40, &pager).await;
    let mut turns = 0;
    while receiver.requests().len() < 40 {
        world.deliver(&pager).await;
        turns += 1;
        if turns % 8 == 0 {
            world.advance(1);
        }
        assert!(turns < 100, "{} told", receiver.requests().len());
    }
    let keys: std::collections::HashSet<String> = receiver
        .requests()
        .iter()
        .map(|request| request.json()["dedup_key"].to_string())
        .collect();
    assert_eq!(keys.len(), 40);
    let group = receiver.requests()[0].json()["payload"]["group"].clone();
    assert_eq!(
        group, "checkout",
        "of one service, for PagerDuty to group by"
    );
}

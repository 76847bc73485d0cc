//! What becomes of a delivery by what its target answers.

use std::time::Duration;

use standardwebhooks::Webhook;
use throughline::domain::{
    model::ids::Name,
    notify::delivery::{
        AttemptClass::{
            self, Connect, Delivered, Misconfigured, Network, RateLimited, Rejected, Timeout,
            Unavailable,
        },
        DeliveryState, message_id,
    },
    slo::WebhookFormat,
};
use tokio::time::Instant;

use super::world::{NOBODY, ROUTING_KEY, SIGNING_SECRET, START, TestBench};
use crate::support::receiver::{Receiver, Reply};

fn says(status: u16, body: &str) -> Reply {
    Reply::Status(status, body.to_owned())
}

#[tokio::test]
async fn every_kind_of_target_is_told_in_its_own_form() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let targets = [
        world.declare_webhook("hook", &format!("{}/hook", receiver.url)),
        world.declare_slack("slack", &receiver.url),
        world.declare_pagerduty("pager", &receiver.url),
    ];
    let [hook, slack, pager] = &targets;
    let transition = world.fires("checkout", &[hook, slack, pager]).await;
    for target in &targets {
        assert_eq!(world.deliver(target).await.attempts, [Delivered]);
        assert_eq!(world.deliver(target).await.attempts, [], "told twice");
    }
    let requests = receiver.requests();
    let [hook, slack, pager] = requests.as_slice() else {
        panic!("{} requests", requests.len());
    };

    assert_eq!(hook.json()["type"], "slo.alert.firing");
    assert_eq!(hook.headers["webhook-id"], message_id(transition));
    assert_eq!(
        hook.headers["webhook-timestamp"],
        START.as_secs().to_string()
    );
    let expected = Webhook::new(SIGNING_SECRET)
        .unwrap()
        .sign(&message_id(transition), START.as_secs(), &hook.body)
        .unwrap();
    assert_eq!(hook.headers["webhook-signature"], expected);

    assert!(slack.path.starts_with("/services/"));
    assert_eq!(slack.json()["blocks"][0]["type"], "header");
    assert!(!slack.headers.contains_key("webhook-signature"));

    assert_eq!(pager.path, "/v2/enqueue");
    assert_eq!(pager.json()["routing_key"], ROUTING_KEY);
    assert_eq!(pager.json()["dedup_key"], "slo/checkout/page");
    for request in &requests {
        assert_eq!(request.headers["content-type"], "application/json");
        assert!(request.headers["user-agent"].starts_with("throughline/"));
    }
}

#[tokio::test]
async fn a_webhook_is_told_in_the_form_that_it_asks_for_under_the_same_signature() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    for (name, format) in [
        ("standard", WebhookFormat::Standard),
        ("events", WebhookFormat::CloudEvents),
        ("like-am", WebhookFormat::AlertmanagerV4),
    ] {
        let hook = world.declare_formatted(name, &receiver.url, format);
        world.fires(name, &[&hook]).await;
        world.resolves(name, &[&hook]).await;
        for _ in 0..2 {
            assert_eq!(world.deliver(&hook).await.attempts, [Delivered], "{name}");
        }
    }
    let requests = receiver.requests();
    for request in &requests {
        let (id, at) = (&request.headers["webhook-id"], START.as_secs());
        let expected = Webhook::new(SIGNING_SECRET).unwrap();
        let expected = expected.sign(id, at, &request.body).unwrap();
        assert_eq!(request.headers["webhook-signature"], expected);
    }
    let event = &requests[2];
    assert_eq!(
        event.headers["content-type"],
        "application/cloudevents+json"
    );
    assert_eq!(event.json()["id"], event.headers["webhook-id"]);
    assert_eq!(requests[4].json()["receiver"], "like-am");
    assert_eq!(requests[5].json()["status"], "resolved");
}

#[tokio::test]
pub(crate) async fn t22_teams_is_told_by_a_card_and_its_no_in_words_is_understood() {
    let mut world = TestBench::create().await;
    let throttled = "Webhook message delivery failed with error: Microsoft Teams endpoint \
                     returned HTTP error 429 with ContextId 1";
    let refused = r#"{"error":{"code":"InvalidRequestContent"}}"#;
    let script = [says(200, throttled), says(400, refused), says(202, "")];
    let receiver = Receiver::start(script).await;
    let teams = world.declare_teams("teams", &receiver.url);
    world.fires("checkout", &[&teams]).await;
    assert_eq!(world.deliver(&teams).await.attempts, [RateLimited]);
    world.advance(10);
    assert_eq!(world.deliver(&teams).await.attempts, [Delivered]);
    let requests = receiver.requests();
    let length = |nth: usize| requests[nth].body.len();
    assert!(
        length(2) < length(1),
        "what is refused is sent once more, simpler"
    );
    assert!(requests[0].path.contains("?sig="));
}

/// Sends one page to a webhook that answers so, and again when it answers 200 hours later.
async fn first_try(world: &mut TestBench, name: &str, reply: Reply) -> AttemptClass {
    let receiver = Receiver::start([reply]).await;
    let target = world.declare_webhook(name, &receiver.url);
    let transition = world.fires(name, &[&target]).await;
    let report = world.deliver(&target).await;
    assert_eq!(
        receiver.requests().len(),
        1,
        "{name}: more than one request"
    );
    let class = report.attempts[0];
    if class != Delivered {
        world.advance(3_600);
        assert_eq!(world.deliver(&target).await.attempts, [Delivered], "{name}");
    }
    let (delivery, attempts) = world.delivery(transition).await;
    assert_eq!(delivery.state, DeliveryState::Delivered, "{name}");
    let number_of_tries = if class == Delivered { 1 } else { 2 };
    assert_eq!(attempts.len(), number_of_tries, "{name}");
    assert_eq!(attempts[0].class, class.as_str(), "{name}");
    class
}

#[tokio::test]
pub(crate) async fn t22_whatever_a_target_answers_it_is_told_in_the_end() {
    let mut world = TestBench::create().await;
    let moved = Reply::Header(302, "location", "https://elsewhere.example/x".to_owned());
    let cases = [
        ("ok", says(200, "ok"), Delivered),
        ("empty", says(200, ""), Delivered),
        ("no-content", says(204, ""), Delivered),
        ("says-no", says(200, r#"{"ok":false}"#), Unavailable),
        ("moved", moved, Misconfigured),
        ("bad-request", says(400, "what?"), Unavailable),
        ("not-found", says(404, "no_service"), Misconfigured),
        ("gone", says(410, ""), Misconfigured),
        ("slow-down", says(429, ""), RateLimited),
        ("error", says(500, ""), Unavailable),
        ("away", says(503, ""), Unavailable),
        ("hangs", Reply::Hang, Timeout),
        ("resets", Reply::Reset, Network),
        ("endless", Reply::Endless, Delivered),
    ];
    for (name, reply, expected) in cases {
        assert_eq!(first_try(&mut world, name, reply).await, expected, "{name}");
    }
}

#[tokio::test]
pub(crate) async fn t24_an_answer_that_never_ends_costs_neither_memory_nor_more_than_its_time() {
    let mut world = TestBench::create().await;
    for (name, reply) in [("drips", Reply::Drip), ("endless", Reply::Endless)] {
        let receiver = Receiver::start([reply]).await;
        let target = world.declare_webhook(name, &receiver.url);
        let transition = world.fires(name, &[&target]).await;
        let began = Instant::now();
        assert_eq!(world.deliver(&target).await.attempts, [Delivered], "{name}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(15), "{name} took {took:?}");
        let (_, attempts) = world.delivery(transition).await;
        let excerpt = attempts[0].excerpt.as_deref().unwrap();
        assert!(excerpt.len() <= 256, "{name}: {} bytes kept", excerpt.len());
    }
}

#[tokio::test]
pub(crate) async fn t25_a_redirect_is_not_followed_and_only_its_host_is_told() {
    let mut world = TestBench::create().await;
    let elsewhere = Receiver::start([]).await;
    let location = format!("{}/with?secret=abc", elsewhere.url);
    let receiver = Receiver::start([Reply::Header(307, "location", location)]).await;
    let target = world.declare_webhook("moved", &receiver.url);
    let transition = world.fires("checkout", &[&target]).await;
    world.deliver(&target).await;
    assert_eq!(elsewhere.requests().len(), 0);
    let (_, attempts) = world.delivery(transition).await;
    assert_eq!(
        attempts[0].excerpt.as_deref(),
        Some("redirects to host `127.0.0.1`, which is not followed: give the final address")
    );
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_tried_until_it_can() {
    let mut world = TestBench::create().await;
    let gone = NOBODY;
    let target = world.declare_webhook("hook", gone);
    let transition = world.fires("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Connect]);
    let (_, attempts) = world.delivery(transition).await;
    let retry_at = attempts[0].retry_at.unwrap();
    let wait = retry_at.saturating_since(START).as_secs_f64();
    assert!((4.0..9.0).contains(&wait), "retried after {wait} s");

    let receiver = Receiver::start([]).await;
    world.declare_webhook("hook", &receiver.url);
    world.advance(10);
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
}

#[tokio::test]
pub(crate) async fn t13_a_target_that_asks_to_be_left_alone_is_for_all_its_alerts() {
    let mut world = TestBench::create().await;
    for (name, value) in [
        ("seconds", "120"),
        // Two minutes after START.
        ("date", "Sun, 22 Nov 2026 06:20:29 GMT"),
    ] {
        world.now = START;
        let receiver = Receiver::start([Reply::Header(429, "retry-after", value.to_owned())]).await;
        let target = world.declare_webhook(name, &receiver.url);
        world.fires(&format!("first-{name}"), &[&target]).await;
        assert_eq!(world.deliver(&target).await.attempts, [RateLimited]);
        world.fires(&format!("second-{name}"), &[&target]).await;
        world.advance(119);
        assert_eq!(world.deliver(&target).await.attempts, [], "{name}");
        world.advance(10);
        assert_eq!(
            world.deliver(&target).await.attempts,
            [Delivered, Delivered]
        );
    }
}

#[tokio::test]
pub(crate) async fn t20_blocks_that_slack_refuses_are_sent_again_as_text() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([says(400, "invalid_blocks")]).await;
    let target = world.declare_slack("slack", &receiver.url);
    world.fires("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].json().get("blocks").is_none());
    assert_eq!(requests[1].json()["text"], requests[0].json()["text"]);
}

#[tokio::test]
pub(crate) async fn t20_a_message_that_is_refused_for_good_is_dead_and_lets_the_next_pass() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([says(400, r#"{"errors":["'x' is too long"]}"#)]).await;
    let target = world.declare_pagerduty("pager", &receiver.url);
    let firing = world.fires("checkout", &[&target]).await;
    world.resolves("checkout", &[&target]).await;
    let report = world.deliver(&target).await;
    assert_eq!(
        (report.attempts.as_slice(), report.dead),
        (&[Rejected][..], 1)
    );
    assert_eq!(world.delivery(firing).await.0.state, DeliveryState::Failed);
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    assert_eq!(receiver.requests()[1].json()["event_action"], "resolve");
}

#[tokio::test]
pub(crate) async fn t32_what_waits_for_a_removed_target_is_cancelled_with_a_reason_after_a_while() {
    let mut world = TestBench::create().await;
    let target: Name = world.declare_webhook("hook", NOBODY);
    let transition = world.fires("checkout", &[&target]).await;
    world.undeclare(&target);
    assert_eq!(
        world.deliver(&target).await.cancelled,
        0,
        "another replica may know it"
    );
    world.advance(601);
    let due = world.deliverer.due_targets(world.now).await.unwrap();
    assert_eq!(due, std::slice::from_ref(&target));
    assert_eq!(world.deliver(&target).await.cancelled, 1);
    let (delivery, attempts) = world.delivery(transition).await;
    assert_eq!(delivery.state, DeliveryState::Cancelled);
    assert_eq!(
        attempts[0].excerpt.as_deref(),
        Some("target `hook` is not declared any more")
    );
}

/// That a receiver got what its program would take is judged when it is dropped.
#[tokio::test]
pub(crate) async fn t29_t30_long_text_with_mentions_reaches_every_target_and_mentions_nobody() {
    let mut world = TestBench::create().await;
    world.text = Some("<!channel> <@U1> \u{1F600} *_`".repeat(400));
    let receiver = Receiver::start([]).await;
    let url = receiver.url.as_str();
    let ok = r#"{"ok":true,"channel":"C1","ts":"1.2"}"#;
    let api = Receiver::start([says(200, ok)]).await;
    let chats = [
        world.declare_slack("slack", url),
        world.declare_slack_bot("bot", &api.url),
    ];
    let others = [
        world.declare_pagerduty("pager", url),
        world.declare_webhook("hook", url),
        world.declare_alertmanager("alertmanager", &[url]),
    ];
    let teams = Receiver::start([says(202, "")]).await;
    let card = world.declare_teams("teams", &teams.url);
    let all: Vec<_> = chats.iter().chain(&others).chain([&card]).collect();
    world.fires("checkout", &all).await;
    for target in all {
        let attempts = world.deliver(target).await.attempts;
        assert_eq!(attempts, [Delivered], "{target}");
    }
    for chat in [&receiver.requests()[0], &api.requests()[0]] {
        let body = String::from_utf8_lossy(&chat.body);
        assert!(body.contains("!channel"), "{body}");
        for mention in ["<!channel", "<@U1"] {
            assert!(!body.contains(mention), "{body}");
        }
    }
}

//! One thread for each episode, and its first message updated when it is over.

use throughline::domain::notify::delivery::{
    AttemptClass::{self, Delivered, Misconfigured, RateLimited, Rejected, Unavailable},
    DeliveryState,
};

use super::world::{BOT_TOKEN, TestBench};
use crate::support::receiver::{Receiver, Reply, Request};

fn posted(ts: &str) -> Reply {
    let body = format!(r#"{{"ok":true,"channel":"C024BE91L","ts":"{ts}","message":{{}}}}"#);
    Reply::Status(200, body)
}

fn says(error: &str) -> Reply {
    Reply::Status(200, format!(r#"{{"ok":false,"error":"{error}"}}"#))
}

/// Method, thread and message of a call.
fn call(request: &Request) -> (String, Option<String>, Option<String>) {
    let body = request.json();
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let method = request.path.trim_start_matches("/api/").to_owned();
    (method, text("thread_ts"), text("ts"))
}

fn posts(thread: Option<&str>) -> (String, Option<String>, Option<String>) {
    (
        "chat.postMessage".to_owned(),
        thread.map(str::to_owned),
        None,
    )
}

fn updates(ts: &str) -> (String, Option<String>, Option<String>) {
    ("chat.update".to_owned(), None, Some(ts.to_owned()))
}

#[tokio::test]
async fn an_episode_is_one_thread_and_its_first_message_tells_the_end() {
    let mut world = TestBench::create().await;
    let script = ["1.1", "2.2", "1.1", "3.3"].map(posted);
    let receiver = Receiver::start(script).await;
    let bot = world.declare_slack_bot("bot", &receiver.url);
    world.fires("checkout", &[&bot]).await;
    world.fires("checkout", &[&bot]).await;
    world.resolves("checkout", &[&bot]).await;
    for _ in 0..3 {
        assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
    }
    let requests = receiver.requests();
    let calls: Vec<_> = requests.iter().map(call).collect();
    assert_eq!(
        calls,
        [
            posts(None),
            posts(Some("1.1")),
            updates("1.1"),
            posts(Some("1.1"))
        ]
    );
    let channels: Vec<_> = requests
        .iter()
        .map(|one| one.json()["channel"].clone())
        .collect();
    assert_eq!(
        channels,
        ["#deploys", "C024BE91L", "C024BE91L", "C024BE91L"]
    );
    let updated = requests[2].json()["blocks"][0]["text"]["text"].clone();
    assert!(updated.as_str().unwrap().contains("RESOLVED"), "{updated}");
    for request in &requests {
        assert_eq!(
            request.headers["authorization"],
            format!("Bearer {BOT_TOKEN}")
        );
        assert_eq!(
            request.headers["content-type"],
            "application/json; charset=utf-8"
        );
        assert!(
            request.json()["text"]
                .as_str()
                .unwrap()
                .contains("checkout")
        );
    }
}

#[tokio::test]
async fn a_message_that_is_gone_is_followed_by_a_new_one() {
    for gone in [
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
    ] {
        let mut world = TestBench::create().await;
        let receiver = Receiver::start([posted("1.1"), says(gone), posted("9.9")]).await;
        let bot = world.declare_slack_bot("bot", &receiver.url);
        world.fires("checkout", &[&bot]).await;
        world.resolves("checkout", &[&bot]).await;
        for _ in 0..2 {
            assert_eq!(world.deliver(&bot).await.attempts, [Delivered], "{gone}");
        }
        let calls: Vec<_> = receiver.requests().iter().map(call).collect();
        assert_eq!(calls, [posts(None), updates("1.1"), posts(None)], "{gone}");
    }
}

#[tokio::test]
async fn an_alert_that_fires_again_soon_goes_on_in_its_thread_and_later_has_a_new_one() {
    for (pause, goes_on) in [(29 * 60, true), (31 * 60, false)] {
        let mut world = TestBench::create().await;
        let script = ["1.1", "1.1", "2.2", "1.1", "3.3", "1.1", "4.4"].map(posted);
        let receiver = Receiver::start(script).await;
        let bot = world.declare_slack_bot("bot", &receiver.url);
        world.fires("checkout", &[&bot]).await;
        world.resolves("checkout", &[&bot]).await;
        world.deliver(&bot).await;
        world.deliver(&bot).await;
        world.advance(pause);
        world.episode = uuid::Uuid::from_u128(2);
        world.fires("checkout", &[&bot]).await;
        assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
        let calls: Vec<_> = receiver.requests().iter().map(call).collect();
        if goes_on {
            assert_eq!(calls[3..], [updates("1.1"), posts(Some("1.1"))]);
            assert_eq!(receiver.requests()[4].json()["reply_broadcast"], true);
            world.resolves("checkout", &[&bot]).await;
            assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
            let calls: Vec<_> = receiver.requests().iter().map(call).collect();
            assert_eq!(calls[5..], [updates("1.1"), posts(Some("1.1"))]);
        } else {
            assert_eq!(calls[3..], [posts(None)]);
        }
    }
}

#[tokio::test]
async fn a_thread_is_known_to_every_replica_and_lasts_over_a_failure() {
    let mut world = TestBench::create().await;
    let script = [
        posted("1.1"),
        says("internal_error"),
        posted("1.1"),
        posted("2.2"),
    ];
    let receiver = Receiver::start(script).await;
    let bot = world.declare_slack_bot("bot", &receiver.url);
    world.fires("checkout", &[&bot]).await;
    assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
    world.restart();
    world.resolves("checkout", &[&bot]).await;
    assert_eq!(world.deliver(&bot).await.attempts, [Unavailable]);
    world.advance(10);
    assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
    let calls: Vec<_> = receiver.requests().iter().map(call).collect();
    assert_eq!(
        calls,
        [
            posts(None),
            updates("1.1"),
            updates("1.1"),
            posts(Some("1.1"))
        ]
    );
}

#[tokio::test]
pub(crate) async fn t20_blocks_that_slack_refuses_become_text_and_what_it_refuses_then_is_dead() {
    let mut world = TestBench::create().await;
    let script = [
        says("invalid_blocks"),
        posted("1.1"),
        says("msg_too_long"),
        says("no_text"),
    ];
    let receiver = Receiver::start(script).await;
    let bot = world.declare_slack_bot("bot", &receiver.url);
    world.fires("checkout", &[&bot]).await;
    assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
    assert!(receiver.requests()[1].json().get("blocks").is_none());
    let second = world.fires("checkout", &[&bot]).await;
    assert_eq!(world.deliver(&bot).await.attempts, [Rejected]);
    assert_eq!(world.delivery(second).await.0.state, DeliveryState::Failed);
}

#[tokio::test]
pub(crate) async fn t22_slack_says_no_with_200_and_is_understood() {
    let mut world = TestBench::create().await;
    let cases: [(&str, AttemptClass); 6] = [
        ("ratelimited", RateLimited),
        ("fatal_error", Unavailable),
        ("never-heard-of", Unavailable),
        ("not_in_channel", Misconfigured),
        ("token_revoked", Misconfigured),
        ("missing_scope", Misconfigured),
    ];
    for (error, expected) in cases {
        let receiver = Receiver::start([says(error), posted("1.1")]).await;
        let bot = world.declare_slack_bot(&error.replace('_', "-"), &receiver.url);
        world.fires(bot.as_str(), &[&bot]).await;
        assert_eq!(world.deliver(&bot).await.attempts, [expected], "{error}");
        world.advance(3_600);
        assert_eq!(world.deliver(&bot).await.attempts, [Delivered], "{error}");
    }
}

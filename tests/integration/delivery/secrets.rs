//! Secrets reach their receiver and nobody else.

use std::{
    io,
    sync::{Arc, Mutex},
};

use throughline::domain::{
    notify::delivery::AttemptClass::{Delivered, Misconfigured, SecretMissing},
    slo::{SecretOrPlain, SecretRef, TargetKind, WebhookFormat},
};
use tracing_subscriber::fmt::MakeWriter;

use super::world::{BOT_TOKEN, NOBODY, ROUTING_KEY, SLACK_TOKEN, TEAMS_SIGNATURE, TestBench};
use crate::support::receiver::{Receiver, Reply};

/// Keeps what is logged by this thread.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
pub(crate) async fn t27_no_secret_is_in_any_row_or_log_though_everybody_echoes_them() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // As long as there is one subscriber only, whoever comes by an event first decides for all whether it
    // is wanted, and that may be the thread of another test, which has none. Of two, both are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let gone = NOBODY;
    for (index, status) in [302, 400, 404, 429, 500].into_iter().enumerate() {
        let echoing = Receiver::start([(); 6].map(|()| Reply::Echo(status))).await;
        let targets = [
            world.declare_slack(&format!("slack-{index}"), &echoing.url),
            world.declare_pagerduty(&format!("pager-{index}"), &echoing.url),
            world.declare_slack(&format!("gone-{index}"), gone),
            world.declare_slack_bot(&format!("bot-{index}"), &echoing.url),
            world.declare_teams(&format!("teams-{index}"), &echoing.url),
            world.declare_pagerduty(&format!("good-{index}"), &receiver.url),
        ];
        let all: Vec<_> = targets.iter().collect();
        world.fires(&format!("slo-{index}"), &all).await;
        for target in &targets {
            assert_eq!(world.deliver(target).await.attempts.len(), 1);
        }
    }
    let seen = format!("{}\n{}", world.all_rows().await, log.text());
    let log = log.text();
    let told = "delivered to target `good-";
    assert!(seen.contains(told), "the log is captured: {log}");
    assert!(seen.contains("cannot POST"), "excerpts are kept");
    for secret in [
        ROUTING_KEY,
        SLACK_TOKEN,
        "tokentokentoken",
        "T0PSECR3T",
        BOT_TOKEN,
        TEAMS_SIGNATURE,
    ] {
        assert!(!seen.contains(secret), "`{secret}` is in:\n{seen}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_named_and_the_delivery_waits_for_it() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let variable = "THROUGHLINE_TEST_NO_SUCH_KEY".to_owned();
    let url = Some(receiver.url.clone());
    let routing_key = SecretRef::Env(variable);
    let pager = world.declare(
        "pager",
        TargetKind::PagerDuty {
            routing_key,
            previous_routing_key: None,
            url,
        },
    );
    let transition = world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [SecretMissing]);
    let (_, attempts) = world.delivery(transition).await;
    assert_eq!(
        attempts[0].excerpt.as_deref(),
        Some("secret missing: env THROUGHLINE_TEST_NO_SUCH_KEY is not set")
    );
    world.declare_pagerduty("pager", &receiver.url);
    world.advance(10);
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
}

#[tokio::test]
async fn a_webhook_is_not_sent_unsigned_because_its_secret_is_no_secret() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let url = SecretOrPlain::Plain(receiver.url.clone());
    let secret = Some(world.secret("bad", "not-a-signing-secret"));
    let hook = world.declare(
        "hook",
        TargetKind::Webhook {
            url,
            secret,
            format: WebhookFormat::default(),
        },
    );
    let transition = world.fires("checkout", &[&hook]).await;
    assert_eq!(world.deliver(&hook).await.attempts, [Misconfigured]);
    assert_eq!(receiver.requests().len(), 0);
    let (_, attempts) = world.delivery(transition).await;
    let excerpt = attempts[0].excerpt.as_deref().unwrap();
    assert!(excerpt.contains("`whsec_`"), "{excerpt}");
    assert!(!excerpt.contains("not-a-signing-secret"));
}

#[tokio::test]
async fn an_address_that_is_none_is_broken_and_not_shown() {
    let mut world = TestBench::create().await;
    let webhook_url = world.secret("address", "hooks.example/T0PSECR3T");
    let slack = world.declare("slack", TargetKind::Slack { webhook_url });
    let transition = world.fires("checkout", &[&slack]).await;
    assert_eq!(world.deliver(&slack).await.attempts, [Misconfigured]);
    let (_, attempts) = world.delivery(transition).await;
    assert_eq!(
        attempts[0].excerpt.as_deref(),
        Some("the address is no http or https URL")
    );
}

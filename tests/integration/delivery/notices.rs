//! What is no alert goes through the same outbox, in the same order and to every kind of target.

use throughline::{
    domain::{
        model::ids::Name,
        notify::{
            Notification, PlatformNotification, PlatformNotificationKind, PlatformNotificationLink,
            delivery::AttemptClass::{Delivered, Unavailable},
        },
        slo::{Severity, WebhookFormat},
    },
    store::NewNotification,
};
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply, Request};

/// Says so to each of the targets, twice, as if the transaction were repeated.
async fn tells(world: &TestBench, kind: PlatformNotificationKind, targets: &[Name]) {
    let content = Notification::Platform(Box::new(PlatformNotification {
        kind,
        key: "throughline/target/oncall/failing".to_owned(),
        episode: world.episode,
        severity: Severity::Page,
        title: "target `oncall` has not been reached for 4 min".to_owned(),
        lines: vec!["Last answer: <503> *soon*.".to_owned()],
        links: vec![PlatformNotificationLink {
            title: "Targets".to_owned(),
            url: "https://slo.example.com/targets".to_owned(),
        }],
        since: world.now,
        at: world.now,
    }));
    let queued = NewNotification {
        id: Uuid::now_v7(),
        content: &content,
        targets,
        urgency: Severity::Page,
    };
    let mut tx = world.database.store.begin("tell").await.unwrap();
    let new = tx.enqueue_notification(queued, world.now).await.unwrap();
    assert_eq!(new, targets.len() as u64);
    assert_eq!(tx.enqueue_notification(queued, world.now).await.unwrap(), 0);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_kind_of_target_is_told_of_a_notice_and_of_its_end() {
    let world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let url = &receiver.url;
    let targets = [
        world.declare_webhook("hook", url),
        world.declare_formatted("events", url, WebhookFormat::CloudEvents),
        world.declare_formatted("v4", url, WebhookFormat::AlertmanagerV4),
        world.declare_slack("slack", url),
        world.declare_teams("teams", url),
        world.declare_pagerduty("pager", url),
        world.declare_alertmanager("manager", &[url]),
    ];
    tells(&world, PlatformNotificationKind::SelfCheckOpened, &targets).await;
    tells(
        &world,
        PlatformNotificationKind::SelfCheckResolved,
        &targets,
    )
    .await;
    for target in targets.iter().chain(&targets) {
        assert_eq!(
            world.deliver(target).await.attempts,
            [Delivered],
            "{target}"
        );
    }
    // The receiver lets programs of others judge what it got, when it is dropped.
    let said: Vec<_> = receiver.requests().iter().map(Request::json).collect();
    assert_eq!(said.len(), 14);
    let types = said.iter().filter_map(|body| body["type"].as_str());
    assert_eq!(
        types.filter(|of| *of == "slo.self_check.resolved").count(),
        2
    );
    let actions = said.iter().filter_map(|body| body["event_action"].as_str());
    assert_eq!(actions.collect::<Vec<_>>(), ["trigger", "resolve"]);
}

#[tokio::test]
async fn the_end_of_a_notice_waits_for_its_beginning_and_goes_into_its_thread() {
    let world = TestBench::create().await;
    let posted = || Reply::Status(200, r#"{"ok":true,"channel":"C1","ts":"1.1"}"#.to_owned());
    let script = [
        Reply::Status(500, String::new()),
        posted(),
        posted(),
        posted(),
    ];
    let receiver = Receiver::start(script).await;
    let bot = [world.declare_slack_bot("bot", &receiver.url)];
    tells(&world, PlatformNotificationKind::SelfCheckOpened, &bot).await;
    tells(&world, PlatformNotificationKind::SelfCheckResolved, &bot).await;
    assert_eq!(world.deliver(&bot[0]).await.attempts, [Unavailable]);
    assert_eq!(world.deliver(&bot[0]).await.attempts, []);
    let mut world = world;
    world.advance(10);
    for _ in 0..2 {
        assert_eq!(world.deliver(&bot[0]).await.attempts, [Delivered]);
    }
    let said: Vec<_> = receiver.requests().iter().map(Request::json).collect();
    assert_eq!(said[2]["ts"], "1.1", "the first message is updated");
    assert_eq!(said[3]["thread_ts"], "1.1");
}

//! The body of a platform notification for each kind of target, and that it stays within that target's
//! limits.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::notify::{
    channels::{alertmanager, pagerduty, slack, teams, webhook},
    delivery::Redelivery,
    sample::every_note,
};

fn notification(kind: PlatformNotificationKind) -> PlatformNotification {
    PlatformNotification {
        kind,
        key: "throughline/target/oncall/failing".to_owned(),
        episode: Uuid::from_u128(7),
        severity: Severity::Ticket,
        title: "target `oncall` has not been reached for 4 min".to_owned(),
        lines: vec![
            "Last answer: 503.".to_owned(),
            "3 deliveries wait, the oldest since 06:18 UTC.".to_owned(),
        ],
        links: vec![PlatformNotificationLink {
            title: "Deliveries".to_owned(),
            url: "https://slo.example.com/targets".to_owned(),
        }],
        since: Timestamp::from_secs(1_795_328_309),
        at: Timestamp::from_secs(1_795_328_549),
    }
}

fn plain() -> RenderContext {
    RenderContext::default()
}

fn repeated() -> RenderContext {
    RenderContext {
        repeat: Redelivery::Possible,
        ..RenderContext::default()
    }
}

const ALL: [PlatformNotificationKind; 4] = [
    PlatformNotificationKind::SelfCheckOpened,
    PlatformNotificationKind::SelfCheckResolved,
    PlatformNotificationKind::Digest,
    PlatformNotificationKind::Heartbeat,
];

#[test]
fn every_kind_of_target_is_told_what_a_notice_says() {
    let opened = notification(PlatformNotificationKind::SelfCheckOpened);
    insta::assert_json_snapshot!("slack", slack::platform_body(&opened, &repeated()));
    insta::assert_json_snapshot!("teams", teams::platform_body(&opened, &plain()));
    insta::assert_json_snapshot!(
        "pagerduty",
        pagerduty::platform_body(&opened, &plain(), "R0")
    );
    insta::assert_json_snapshot!(
        "posted",
        alertmanager::platform_posted(&opened, &plain(), opened.at)
    );
    insta::assert_json_snapshot!("webhook", webhook::platform_body(&opened, &plain()));
}

#[test]
fn a_notice_ends_under_the_key_it_began_under() {
    let opened = notification(PlatformNotificationKind::SelfCheckOpened);
    let resolved = notification(PlatformNotificationKind::SelfCheckResolved);
    let (trigger, resolve) = (
        pagerduty::platform_body(&opened, &plain(), "R0"),
        pagerduty::platform_body(&resolved, &plain(), "R0"),
    );
    assert_eq!(trigger["event_action"], "trigger");
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    let (began, ended) = (
        alertmanager::platform_posted(&opened, &plain(), opened.at),
        alertmanager::platform_posted(&resolved, &plain(), resolved.at),
    );
    assert_eq!(began["labels"], ended["labels"]);
    assert_eq!(began["startsAt"], ended["startsAt"]);
    assert!(began["endsAt"].as_str() > ended["endsAt"].as_str());
}

#[test]
fn a_heartbeat_is_the_watchdog_of_an_alertmanager() {
    let beat = notification(PlatformNotificationKind::Heartbeat);
    assert_eq!(
        alertmanager::platform_posted(&beat, &plain(), beat.at)["labels"]["alertname"],
        "Watchdog"
    );
    assert_eq!(
        webhook::platform_body(&beat, &plain())["type"],
        "slo.heartbeat"
    );
}

#[test]
fn lines_that_are_too_many_are_counted() {
    let mut long = notification(PlatformNotificationKind::Digest);
    long.lines = vec!["x".repeat(200); 100];
    let told = long.text_lines(&plain(), 1_000, str::to_owned);
    assert_eq!(told.len(), 5);
    assert_eq!(told.last().unwrap(), "and 96 more");
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[<>&!@#`*\"\\\\]{0,400}",
        "(<!channel>|<@U012>|<#C01>|&lt;){0,90}",
        "https://[a-z0-9/?=]{1,1200}",
    ]
}

prop_compose! {
    fn arbitrary()(
        kind in proptest::sample::select(&ALL[..]),
        (key, title, link, url) in (hostile(), hostile(), hostile(), hostile()),
        lines in proptest::collection::vec(hostile(), 0..40),
    ) -> PlatformNotification {
        let links = vec![PlatformNotificationLink { title: link, url }; 5];
        PlatformNotification { key, title, lines, links, ..notification(kind) }
    }
}

proptest! {
    #[test]
    fn t29_t30_whatever_a_notice_says_every_target_accepts_it(notification in arbitrary()) {
        let told = every_note();
        for body in [slack::platform_body(&notification, &told), slack::platform_reply(&notification, &told)] {
            let blocks = body["blocks"].to_string();
            prop_assert!(blocks.chars().count() <= 5_500, "{}", blocks.chars().count());
            for mark in ["<!", "<@", "<#", "<http"] {
                prop_assert!(!body.to_string().contains(mark), "{body}");
            }
            for block in body["blocks"].as_array().unwrap() {
                let text = block["text"]["text"].as_str().unwrap_or("x");
                let most = if block["type"] == "header" { 150 } else { 3_000 };
                prop_assert!((1..=most).contains(&text.chars().count()), "{block}");
            }
        }
        let card = teams::platform_body(&notification, &told).to_string();
        prop_assert!(card.len() <= 28_000, "{} bytes", card.len());
        prop_assert!(!card.contains(['<', '>']));
        let event = pagerduty::platform_body(&notification, &told, "R0");
        prop_assert!(event.to_string().len() <= 512_000);
        for key in [&event["dedup_key"], &event["payload"]["summary"]] {
            prop_assert!(key.as_str().unwrap().chars().count() <= 255);
        }
        prop_assert!(webhook::platform_body(&notification, &told).to_string().len() < 20_000);
        prop_assert!(alertmanager::platform_webhook_v4(&notification, &told, "r").to_string().len() < 20_000);
        for link in event["links"].as_array().unwrap() {
            prop_assert!(link["href"].as_str().unwrap().starts_with("http"));
        }
    }

    #[test]
    fn a_notice_is_read_as_it_was_written(notification in arbitrary()) {
        let json = serde_json::to_string(&notification).unwrap();
        prop_assert_eq!(serde_json::from_str::<PlatformNotification>(&json).unwrap(), notification);
    }
}

#[test]
fn a_headline_is_one_line() {
    let mut odd = notification(PlatformNotificationKind::SelfCheckOpened);
    odd.title = "a\nb".to_owned();
    assert_eq!(odd.headline(), "Throughline itself: a b");
    assert_eq!(
        webhook::platform_body(&odd, &plain())["data"]["summary"],
        Value::from(odd.headline())
    );
}

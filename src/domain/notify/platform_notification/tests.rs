//! Tests that the body of a platform notification for each kind of target stays within that
//! target's limits.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::notify::{
    Notification, RenderContext,
    channels::{alertmanager, pagerduty, slack, teams, webhook},
    delivery::Redelivery,
    sample::every_note,
};

const AT: Timestamp = Timestamp::from_secs(1_795_328_549);

fn platform(kind: PlatformNotificationKind) -> PlatformNotification {
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
        at: AT,
    }
}

fn notification(kind: PlatformNotificationKind) -> Notification {
    platform(kind).into()
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

const ALL: [PlatformNotificationKind; 5] = [
    PlatformNotificationKind::SelfCheckOpened,
    PlatformNotificationKind::SelfCheckResolved,
    PlatformNotificationKind::Digest,
    PlatformNotificationKind::Heartbeat,
    PlatformNotificationKind::Report,
];

#[test]
fn every_kind_of_target_is_told_what_a_notice_says() {
    let opened = notification(PlatformNotificationKind::SelfCheckOpened);
    insta::assert_json_snapshot!("slack", slack::body(&opened, &repeated()));
    insta::assert_json_snapshot!("teams", teams::body(&opened, &plain()));
    insta::assert_json_snapshot!("pagerduty", pagerduty::body(&opened, &plain(), "R0"));
    insta::assert_json_snapshot!("posted", alertmanager::posted(&opened, &plain(), AT));
    insta::assert_json_snapshot!("webhook", webhook::body(&opened, &plain()));
}

#[test]
fn a_notice_ends_under_the_key_it_began_under() {
    let opened = notification(PlatformNotificationKind::SelfCheckOpened);
    let resolved = notification(PlatformNotificationKind::SelfCheckResolved);
    let (trigger, resolve) = (
        pagerduty::body(&opened, &plain(), "R0"),
        pagerduty::body(&resolved, &plain(), "R0"),
    );
    assert_eq!(trigger["event_action"], "trigger");
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    let (began, ended) = (
        alertmanager::posted(&opened, &plain(), AT),
        alertmanager::posted(&resolved, &plain(), AT),
    );
    assert_eq!(began["labels"], ended["labels"]);
    assert_eq!(began["startsAt"], ended["startsAt"]);
    assert!(began["endsAt"].as_str() > ended["endsAt"].as_str());
}

#[test]
fn a_heartbeat_is_the_watchdog_of_an_alertmanager() {
    let beat = notification(PlatformNotificationKind::Heartbeat);
    assert_eq!(
        alertmanager::posted(&beat, &plain(), AT)["labels"]["alertname"],
        "Watchdog"
    );
    assert_eq!(webhook::body(&beat, &plain())["type"], "slo.heartbeat");
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
        PlatformNotification { key, title, lines, links, ..platform(kind) }
    }
}

proptest! {
    #[test]
    fn t29_t30_whatever_a_notice_says_every_target_accepts_it(platform in arbitrary()) {
        let told = every_note();
        let notification = Notification::from(platform);
        for body in [slack::body(&notification, &told), slack::reply(&notification, &told)] {
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
        let card = teams::body(&notification, &told).to_string();
        prop_assert!(card.len() <= 28_000, "{} bytes", card.len());
        prop_assert!(!card.contains(['<', '>']));
        let event = pagerduty::body(&notification, &told, "R0");
        prop_assert!(event.to_string().len() <= 512_000);
        for (text, most) in [(&event["dedup_key"], 255), (&event["payload"]["summary"], 1_024)] {
            prop_assert!(text.as_str().unwrap().chars().count() <= most);
        }
        prop_assert!(webhook::body(&notification, &told).to_string().len() < 20_000);
        prop_assert!(alertmanager::webhook_v4(&notification, &told, "r").to_string().len() < 20_000);
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
    let mut odd = platform(PlatformNotificationKind::SelfCheckOpened);
    odd.title = "a\nb".to_owned();
    assert_eq!(odd.headline(), "Throughline itself: a b");
    assert_eq!(
        webhook::body(&odd.clone().into(), &plain())["data"]["summary"],
        Value::from(odd.headline())
    );
}

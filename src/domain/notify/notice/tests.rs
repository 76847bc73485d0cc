//! What each kind of target is told by a notice, and that it stays within that target's limits.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::notify::{delivery::Redelivery, sample::everything_told};

fn notice(kind: PlatformNotificationKind) -> PlatformNotification {
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
    let opened = notice(PlatformNotificationKind::SelfCheckOpened);
    insta::assert_json_snapshot!("slack", slack(&opened, &repeated()));
    insta::assert_json_snapshot!("teams", teams(&opened, &plain()));
    insta::assert_json_snapshot!("pagerduty", pagerduty(&opened, &plain(), "R0"));
    insta::assert_json_snapshot!("posted", posted(&opened, &plain(), opened.at));
    insta::assert_json_snapshot!("webhook", webhook(&opened, &plain()));
}

#[test]
fn a_notice_ends_under_the_key_it_began_under() {
    let opened = notice(PlatformNotificationKind::SelfCheckOpened);
    let resolved = notice(PlatformNotificationKind::SelfCheckResolved);
    let (trigger, resolve) = (
        pagerduty(&opened, &plain(), "R0"),
        pagerduty(&resolved, &plain(), "R0"),
    );
    assert_eq!(trigger["event_action"], "trigger");
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    let (began, ended) = (
        posted(&opened, &plain(), opened.at),
        posted(&resolved, &plain(), resolved.at),
    );
    assert_eq!(began["labels"], ended["labels"]);
    assert_eq!(began["startsAt"], ended["startsAt"]);
    assert!(began["endsAt"].as_str() > ended["endsAt"].as_str());
}

#[test]
fn a_heartbeat_is_the_watchdog_of_an_alertmanager() {
    let beat = notice(PlatformNotificationKind::Heartbeat);
    assert_eq!(
        posted(&beat, &plain(), beat.at)["labels"]["alertname"],
        "Watchdog"
    );
    assert_eq!(webhook(&beat, &plain())["type"], "slo.heartbeat");
}

#[test]
fn lines_that_are_too_many_are_counted() {
    let mut long = notice(PlatformNotificationKind::Digest);
    long.lines = vec!["x".repeat(200); 100];
    let told = long.told(&plain(), 1_000, str::to_owned);
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
        PlatformNotification { key, title, lines, links, ..notice(kind) }
    }
}

proptest! {
    #[test]
    fn t29_t30_whatever_a_notice_says_every_target_accepts_it(notice in arbitrary()) {
        let told = everything_told();
        for body in [slack(&notice, &told), slack_reply(&notice, &told)] {
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
        let card = teams(&notice, &told).to_string();
        prop_assert!(card.len() <= 28_000, "{} bytes", card.len());
        prop_assert!(!card.contains(['<', '>']));
        let event = pagerduty(&notice, &told, "R0");
        prop_assert!(event.to_string().len() <= 512_000);
        for key in [&event["dedup_key"], &event["payload"]["summary"]] {
            prop_assert!(key.as_str().unwrap().chars().count() <= 255);
        }
        prop_assert!(webhook(&notice, &told).to_string().len() < 20_000);
        prop_assert!(webhook_v4(&notice, &told, "r").to_string().len() < 20_000);
        for link in event["links"].as_array().unwrap() {
            prop_assert!(link["href"].as_str().unwrap().starts_with("http"));
        }
    }

    #[test]
    fn a_notice_is_read_as_it_was_written(notice in arbitrary()) {
        let json = serde_json::to_string(&notice).unwrap();
        prop_assert_eq!(serde_json::from_str::<PlatformNotification>(&json).unwrap(), notice);
    }
}

#[test]
fn a_headline_is_one_line() {
    let mut odd = notice(PlatformNotificationKind::SelfCheckOpened);
    odd.title = "a\nb".to_owned();
    assert_eq!(odd.headline(), "Throughline itself: a b");
    assert_eq!(
        webhook(&odd, &plain())["data"]["summary"],
        Value::from(odd.headline())
    );
}

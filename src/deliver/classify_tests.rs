//! One row for every answer that a receiver's contract names.

use super::*;
use crate::domain::definition::{SecretOrPlain, SecretRef};

const NOW: Timestamp = Timestamp::from_secs(1_795_328_309);

fn slack() -> TargetKind {
    TargetKind::Slack {
        webhook_url: SecretRef::Env("X".to_owned()),
    }
}

fn pagerduty() -> TargetKind {
    TargetKind::PagerDuty {
        routing_key: SecretRef::Env("X".to_owned()),
        url: None,
    }
}

fn webhook() -> TargetKind {
    TargetKind::Webhook {
        url: SecretOrPlain::Plain("https://a.example".to_owned()),
        secret: None,
    }
}

fn class(kind: &TargetKind, status: u16, body: &str, attempt: i32) -> AttemptClass {
    let answer = Answer {
        status,
        body: body.to_owned(),
        ..Answer::default()
    };
    classify(kind, &answer, attempt, NOW).class
}

#[test]
fn slack_is_read_by_its_words_before_its_status() {
    use AttemptClass::{Broken, Delivered, RateLimited, Rejected, Unavailable};
    for (status, body, expected) in [
        (200, "ok", Delivered),
        (200, "", Delivered),
        (200, "{}", Delivered),
        (200, r#"{"ok":true}"#, Delivered),
        (200, r#"{"ok":false,"error":"something"}"#, Unavailable),
        (200, r#"{"ok":false,"error":"no_service"}"#, Broken),
        (200, r#"{"ok":false,"error":"invalid_blocks"}"#, Rejected),
        (302, "", Broken),
        (400, "invalid_payload", Rejected),
        (400, "invalid_blocks\n", Rejected),
        (400, "no_team", Broken),
        (400, "never heard of", Rejected),
        (403, "action_prohibited", Broken),
        (404, "no_service", Broken),
        (410, "channel_is_archived", Broken),
        (
            429,
            r#"{"retry_after":1,"ok":false,"error":"rate_limited"}"#,
            RateLimited,
        ),
        (500, "rollup_error", Unavailable),
        (503, "<html>", Unavailable),
    ] {
        assert_eq!(
            class(&slack(), status, body, 1),
            expected,
            "{status} {body}"
        );
    }
}

#[test]
fn pagerduty_rejects_an_event_but_a_wrong_key_is_our_configuration() {
    use AttemptClass::{Broken, Delivered, RateLimited, Rejected, Unavailable};
    for (status, body, expected) in [
        (202, r#"{"status":"success"}"#, Delivered),
        (
            400,
            r#"{"status":"invalid event","errors":["'summary' is too long"]}"#,
            Rejected,
        ),
        (400, r#"{"errors":["Invalid routing key"]}"#, Broken),
        (403, "", Broken),
        (429, "", RateLimited),
        (500, "", Unavailable),
    ] {
        assert_eq!(
            class(&pagerduty(), status, body, 1),
            expected,
            "{status} {body}"
        );
    }
}

#[test]
fn an_unknown_refusal_is_broken_only_at_the_third_time() {
    use AttemptClass::{Broken, Delivered, Unavailable};
    for status in [400, 402, 415, 418, 422] {
        assert_eq!(class(&webhook(), status, "", 2), Unavailable, "{status}");
        assert_eq!(class(&webhook(), status, "", 3), Broken, "{status}");
    }
    for status in [408, 409, 423, 425, 500, 502, 504, 599] {
        assert_eq!(class(&webhook(), status, "", 99), Unavailable, "{status}");
    }
    for status in [200, 201, 202, 204] {
        assert_eq!(class(&webhook(), status, "", 1), Delivered, "{status}");
    }
    for status in [301, 302, 307, 308, 410] {
        assert_eq!(class(&webhook(), status, "", 1), Broken, "{status}");
    }
    assert_eq!(class(&webhook(), 200, r#"{"ok":false}"#, 1), Unavailable);
}

#[test]
fn a_wish_to_be_left_alone_is_read_as_seconds_as_a_date_and_from_the_body() {
    let asked = |header: Option<&str>, body: &str| {
        let answer = Answer {
            status: 429,
            retry_after: header.map(str::to_owned),
            body: body.to_owned(),
            ..Answer::default()
        };
        classify(&slack(), &answer, 1, NOW)
            .retry_after
            .map(|d| d.as_secs())
    };
    assert_eq!(asked(Some("30"), ""), Some(30));
    // NOW is 06:18:29.
    assert_eq!(asked(Some("Sun, 22 Nov 2026 06:20:29 GMT"), ""), Some(120));
    assert_eq!(asked(Some("Sun, 22 Nov 2020 06:20:29 GMT"), ""), Some(0));
    assert_eq!(asked(Some("soon"), ""), None);
    assert_eq!(asked(None, r#"{"retry_after":7,"ok":false}"#), Some(7));
    assert_eq!(asked(None, ""), None);
}

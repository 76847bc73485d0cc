//! What an answer means, by kind of target: what the service says in the body first, the status
//! second.

use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use super::client::Answer;
use crate::domain::{definition::TargetKind, delivery::AttemptClass, time::Timestamp};

/// How a try ended, and how long the target asked to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) class: AttemptClass,
    pub(super) retry_after: Option<Duration>,
}

/// An unknown refusal may be a slip of a proxy; the third in a row is not.
const TRIES_BEFORE_BROKEN: i32 = 3;

/// Errors of Slack that concern the message.
const SLACK_REJECTS: [&str; 8] = [
    "invalid_payload",
    "user_not_found",
    "no_text",
    "invalid_blocks",
    "invalid_attachments",
    "too_many_attachments",
    "msg_too_long",
    "msg_blocks_too_long",
];

/// Errors of Slack that concern the webhook: somebody must mend it.
const SLACK_BROKEN: [&str; 14] = [
    "action_prohibited",
    "posting_to_general_channel_denied",
    "invalid_token",
    "no_active_hooks",
    "team_disabled",
    "channel_not_found",
    "no_service",
    "no_service_id",
    "no_team",
    "channel_is_archived",
    "is_archived",
    "not_in_channel",
    "token_revoked",
    "account_inactive",
];

/// `attempt` is counted from 1.
pub(super) fn classify(
    kind: &TargetKind,
    answer: &Answer,
    attempt: i32,
    now: Timestamp,
) -> Reaction {
    let json: Option<Value> = serde_json::from_str(&answer.body).ok();
    let class = by_body(kind, answer, json.as_ref())
        .unwrap_or_else(|| by_status(kind, answer.status, attempt));
    let asked = answer
        .retry_after
        .as_deref()
        .and_then(|text| parse_retry_after(text, now));
    let asked = asked.or_else(|| {
        let secs = json.as_ref()?.get("retry_after")?.as_f64()?;
        Duration::try_from_secs_f64(secs).ok()
    });
    let is_retried = matches!(class, AttemptClass::RateLimited | AttemptClass::Unavailable);
    Reaction {
        class,
        retry_after: asked.filter(|_| is_retried),
    }
}

fn by_body(kind: &TargetKind, answer: &Answer, json: Option<&Value>) -> Option<AttemptClass> {
    let is_success = (200..300).contains(&answer.status);
    // Some services say no with 200 (Slack's own web API does).
    let says_no = json.and_then(|json| json.get("ok")) == Some(&Value::Bool(false));
    match kind {
        TargetKind::Slack { .. } if !is_success || says_no => {
            let error = json.and_then(|json| json.get("error")?.as_str());
            by_slack_error(error.unwrap_or(answer.body.trim()))
        }
        TargetKind::PagerDuty { .. }
            if answer.status == 400 && answer.body.to_lowercase().contains("routing key") =>
        {
            Some(AttemptClass::Broken)
        }
        TargetKind::Slack { .. } | TargetKind::PagerDuty { .. } | TargetKind::Webhook { .. } => {
            None
        }
    }
    .or((is_success && says_no).then_some(AttemptClass::Unavailable))
}

fn by_slack_error(error: &str) -> Option<AttemptClass> {
    match error {
        "rate_limited" | "ratelimited" => Some(AttemptClass::RateLimited),
        "rollup_error" => Some(AttemptClass::Unavailable),
        error if SLACK_REJECTS.contains(&error) => Some(AttemptClass::Rejected),
        error if SLACK_BROKEN.contains(&error) => Some(AttemptClass::Broken),
        _ => None,
    }
}

fn by_status(kind: &TargetKind, status: u16, attempt: i32) -> AttemptClass {
    let is_chat = matches!(
        kind,
        TargetKind::Slack { .. } | TargetKind::PagerDuty { .. }
    );
    match status {
        200..300 => AttemptClass::Delivered,
        429 => AttemptClass::RateLimited,
        408 | 409 | 423 | 425 | 500.. => AttemptClass::Unavailable,
        300..400 | 401 | 403 | 404 | 410 => AttemptClass::Broken,
        // Only of services that we know does 400 mean this message.
        400 if is_chat => AttemptClass::Rejected,
        _ if attempt < TRIES_BEFORE_BROKEN => AttemptClass::Unavailable,
        _ => AttemptClass::Broken,
    }
}

/// Seconds, or an HTTP date.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(secs) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some(Timestamp::from_micros(date.timestamp_micros()).saturating_since(now))
}

#[cfg(test)]
mod tests {
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
}

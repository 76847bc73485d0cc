//! How an attempt ended: the meaning of a response, by kind of target, first by the body, second by the
//! status; and of an error without a response.

use std::time::Duration;

use chrono::DateTime;
use secrecy::SecretString;
use serde_json::Value;

use super::http::{
    client::{SendError, TargetResponse},
    excerpt::excerpt,
};
use crate::domain::{
    model::time::Timestamp,
    notify::{
        Reference,
        channels::{pagerduty, slack, teams},
        delivery::AttemptClass,
    },
    slo::TargetKind,
};

/// The result of an attempt, and what is stored of it.
#[derive(Clone, Debug)]
pub(super) struct AttemptResult {
    pub(super) reaction: ResponseClass,
    pub(super) http_status: Option<u16>,
    pub(super) excerpt: Option<String>,
    /// The reference for later messages about the episode, if this message is the one to refer to.
    pub(super) reference: Option<Reference>,
}

/// The context in which a response is classified.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptContext<'a> {
    pub(super) kind: &'a TargetKind,
    /// Counted from 1.
    pub(super) attempt: i32,
    pub(super) now: Timestamp,
    /// The time limit of each request.
    pub(super) timeout: Duration,
}

/// The class of an attempt's result, and how long the target asked to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseClass {
    pub(super) class: AttemptClass,
    pub(super) retry_after: Option<Duration>,
}

/// The number of consecutive unknown refusals after which a target counts as misconfigured; a
/// single one may come from a proxy.
const TRIES_BEFORE_BROKEN: i32 = 3;

impl AttemptContext<'_> {
    pub(super) fn understood(
        self,
        answer: Result<TargetResponse, SendError>,
        secrets: &[SecretString],
    ) -> AttemptResult {
        match answer {
            Ok(answer) => AttemptResult {
                reaction: classify(self.kind, &answer, self.attempt, self.now),
                http_status: Some(answer.status),
                excerpt: excerpt(&answer_text(&answer), secrets),
                reference: None,
            },
            Err(error) => AttemptResult {
                excerpt: excerpt(&error.to_string(), secrets),
                ..AttemptResult::unsent(class_of(&error), "")
            },
        }
    }
}

impl AttemptResult {
    /// Makes the result of an attempt that ended without a response.
    pub(super) fn unsent(class: AttemptClass, reason: &str) -> Self {
        Self {
            reaction: ResponseClass {
                class,
                retry_after: None,
            },
            http_status: None,
            excerpt: excerpt(reason, &[]),
            reference: None,
        }
    }
}

const fn class_of(error: &SendError) -> AttemptClass {
    match error {
        SendError::Address => AttemptClass::Misconfigured,
        SendError::Refused(_) => AttemptClass::Forbidden,
        SendError::Dns(_) => AttemptClass::Dns,
        SendError::Tls(_) => AttemptClass::Tls,
        SendError::Timeout(_) => AttemptClass::Timeout,
        SendError::Connect(_) => AttemptClass::Connect,
        SendError::Network(_) => AttemptClass::Network,
    }
}

/// Returns the text of a response. Of a redirect it contains only the host: the rest may be a
/// secret.
fn answer_text(answer: &TargetResponse) -> String {
    let host = answer
        .location
        .as_deref()
        .and_then(|location| reqwest::Url::parse(location).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    match (answer.status, host) {
        (300..400, Some(host)) => {
            format!("redirects to host `{host}`, which is not followed: give the final address")
        }
        _ => answer.body.clone(),
    }
}

/// Classifies a response. `attempt` is counted from 1.
fn classify(
    kind: &TargetKind,
    answer: &TargetResponse,
    attempt: i32,
    now: Timestamp,
) -> ResponseClass {
    let json: Option<Value> = serde_json::from_str(&answer.body).ok();
    let class = by_body(kind, answer, json.as_ref(), attempt)
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
    ResponseClass {
        class,
        retry_after: asked.filter(|_| is_retried),
    }
}

fn by_body(
    kind: &TargetKind,
    answer: &TargetResponse,
    json: Option<&Value>,
    attempt: i32,
) -> Option<AttemptClass> {
    let is_success = (200..300).contains(&answer.status);
    // Some services report an error with status 200 (as Slack's Web API does).
    let says_no = json.and_then(|json| json.get("ok")) == Some(&Value::Bool(false));
    let by_kind = match kind {
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } if !is_success || says_no => {
            let error = json.and_then(|json| json.get("error")?.as_str());
            slack::errors::class_of(error.unwrap_or(answer.body.trim()))
        }
        // A response that does not have Slack's form came from an intermediary.
        TargetKind::SlackBot { .. }
            if json.and_then(|json| json.get("ok")) != Some(&Value::Bool(true)) =>
        {
            Some(unknown(attempt))
        }
        TargetKind::PagerDuty { .. } => pagerduty::class_of(answer.status, &answer.body),
        TargetKind::Teams { .. } if is_success => teams::class_of(&answer.body),
        TargetKind::Slack { .. }
        | TargetKind::SlackBot { .. }
        | TargetKind::Teams { .. }
        | TargetKind::Alertmanager { .. }
        | TargetKind::Webhook { .. } => None,
    };
    by_kind.or((is_success && says_no).then(|| match kind {
        TargetKind::SlackBot { .. } => unknown(attempt),
        _ => AttemptClass::Unavailable,
    }))
}

const fn unknown(attempt: i32) -> AttemptClass {
    if attempt >= TRIES_BEFORE_BROKEN {
        AttemptClass::Misconfigured
    } else {
        AttemptClass::Unavailable
    }
}

fn by_status(kind: &TargetKind, status: u16, attempt: i32) -> AttemptClass {
    let is_known = !matches!(kind, TargetKind::Webhook { .. });
    match status {
        200..300 => AttemptClass::Delivered,
        429 => AttemptClass::RateLimited,
        408 | 409 | 423 | 425 | 500.. => AttemptClass::Unavailable,
        300..400 | 401 | 403 | 404 | 410 => AttemptClass::Misconfigured,
        // Only for known services do these statuses mean that this message is invalid.
        400 | 413 | 422 if is_known => AttemptClass::Rejected,
        _ => unknown(attempt),
    }
}

/// Parses seconds, or an HTTP date.
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
    use crate::domain::slo::{SecretOrPlain, SecretRef, WebhookFormat};

    const NOW: Timestamp = Timestamp::from_secs(1_795_328_309);

    fn slack() -> TargetKind {
        TargetKind::Slack {
            webhook_url: SecretRef::Env("X".to_owned()),
        }
    }

    fn pagerduty() -> TargetKind {
        TargetKind::PagerDuty {
            routing_key: SecretRef::Env("X".to_owned()),
            previous_routing_key: None,
            url: None,
        }
    }

    fn webhook() -> TargetKind {
        TargetKind::Webhook {
            url: SecretOrPlain::Plain("https://a.example".to_owned()),
            secret: None,
            format: WebhookFormat::default(),
        }
    }

    fn class(kind: &TargetKind, status: u16, body: &str, attempt: i32) -> AttemptClass {
        let answer = TargetResponse {
            status,
            body: body.to_owned(),
            ..TargetResponse::default()
        };
        classify(kind, &answer, attempt, NOW).class
    }

    #[test]
    fn t22_slack_is_read_by_its_words_before_its_status() {
        use AttemptClass::{Delivered, Misconfigured, RateLimited, Rejected, Unavailable};
        for (status, body, expected) in [
            (200, "ok", Delivered),
            (200, "", Delivered),
            (200, "{}", Delivered),
            (200, r#"{"ok":true}"#, Delivered),
            (200, r#"{"ok":false,"error":"something"}"#, Unavailable),
            (200, r#"{"ok":false,"error":"no_service"}"#, Misconfigured),
            (200, r#"{"ok":false,"error":"invalid_blocks"}"#, Rejected),
            (302, "", Misconfigured),
            (400, "invalid_payload", Rejected),
            (400, "invalid_blocks\n", Rejected),
            (400, "no_team", Misconfigured),
            (400, "never heard of", Rejected),
            (403, "action_prohibited", Misconfigured),
            (404, "no_service", Misconfigured),
            (410, "channel_is_archived", Misconfigured),
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
    fn t20_pagerduty_rejects_an_event_but_a_wrong_key_is_our_configuration() {
        use AttemptClass::{Delivered, Misconfigured, RateLimited, Rejected, Unavailable};
        for (status, body, expected) in [
            (202, r#"{"status":"success"}"#, Delivered),
            (
                400,
                r#"{"status":"invalid event","errors":["'summary' is too long"]}"#,
                Rejected,
            ),
            (400, r#"{"errors":["Invalid routing key"]}"#, Misconfigured),
            (403, "", Misconfigured),
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
    fn t22_a_bot_of_slack_is_told_everything_with_200() {
        use AttemptClass::{Delivered, Misconfigured, RateLimited, Rejected, Unavailable};
        let no = |error: &str| format!(r#"{{"ok":false,"error":"{error}"}}"#);
        let bot = TargetKind::SlackBot {
            token: SecretRef::Env("X".to_owned()),
            channel: "#c".to_owned(),
            url: None,
        };
        for (status, body, expected) in [
            (200, r#"{"ok":true,"ts":"1.1"}"#.to_owned(), Delivered),
            (200, "<html>proxy</html>".to_owned(), Unavailable),
            (200, String::new(), Unavailable),
            (200, no("not_in_channel"), Misconfigured),
            (200, no("invalid_auth"), Misconfigured),
            (200, no("is_archived"), Misconfigured),
            (200, no("msg_blocks_too_long"), Rejected),
            (200, no("invalid_blocks"), Rejected),
            (200, no("internal_error"), Unavailable),
            (200, no("something new"), Unavailable),
            (429, no("ratelimited"), RateLimited),
            (503, no("service_unavailable"), Unavailable),
            (302, String::new(), Misconfigured),
        ] {
            assert_eq!(class(&bot, status, &body, 1), expected, "{status} {body}");
        }
        assert_eq!(class(&bot, 200, &no("something new"), 3), Misconfigured);
    }

    #[test]
    fn t22_teams_has_said_no_with_200_too() {
        use AttemptClass::{Delivered, Misconfigured, RateLimited, Rejected, Unavailable};
        let url = SecretRef::Env("X".to_owned());
        let teams = TargetKind::Teams { url };
        let throttled = "Webhook message delivery failed with error: Microsoft Teams endpoint \
                         returned HTTP error 429 with ContextId 1";
        for (status, body, expected) in [
            (202, "", Delivered),
            (200, "1", Delivered),
            (200, throttled, RateLimited),
            (
                200,
                "Webhook message delivery failed with error: x",
                Unavailable,
            ),
            (
                400,
                r#"{"error":{"code":"TriggerInputSchemaMismatch"}}"#,
                Rejected,
            ),
            (413, "", Rejected),
            (401, "", Misconfigured),
            (404, "", Misconfigured),
            (429, "", RateLimited),
            (502, "", Unavailable),
        ] {
            assert_eq!(class(&teams, status, body, 1), expected, "{status} {body}");
        }
    }

    #[test]
    fn t20_an_alertmanager_refuses_alerts_with_400_and_422() {
        use AttemptClass::{Delivered, Misconfigured, Rejected, Unavailable};
        let urls = vec![SecretOrPlain::Plain("http://am:9093".to_owned())];
        let target = TargetKind::Alertmanager { urls };
        for (status, expected) in [
            (200, Delivered),
            (301, Misconfigured),
            (400, Rejected),
            (404, Misconfigured),
            (422, Rejected),
            (500, Unavailable),
        ] {
            assert_eq!(class(&target, status, "", 1), expected, "{status}");
        }
    }

    #[test]
    fn t20_t25_an_unknown_refusal_is_broken_only_at_the_third_time() {
        use AttemptClass::{Delivered, Misconfigured, Unavailable};
        for status in [400, 402, 415, 418, 422] {
            assert_eq!(class(&webhook(), status, "", 2), Unavailable, "{status}");
            assert_eq!(class(&webhook(), status, "", 3), Misconfigured, "{status}");
        }
        for status in [408, 409, 423, 425, 500, 502, 504, 599] {
            assert_eq!(class(&webhook(), status, "", 99), Unavailable, "{status}");
        }
        for status in [200, 201, 202, 204] {
            assert_eq!(class(&webhook(), status, "", 1), Delivered, "{status}");
        }
        for status in [301, 302, 307, 308, 410] {
            assert_eq!(class(&webhook(), status, "", 1), Misconfigured, "{status}");
        }
        assert_eq!(class(&webhook(), 200, r#"{"ok":false}"#, 1), Unavailable);
    }

    #[test]
    fn t13_a_wish_to_be_left_alone_is_read_as_seconds_as_a_date_and_from_the_body() {
        let asked = |header: Option<&str>, body: &str| {
            let answer = TargetResponse {
                status: 429,
                retry_after: header.map(str::to_owned),
                body: body.to_owned(),
                ..TargetResponse::default()
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

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
#[path = "classify_tests.rs"]
mod tests;

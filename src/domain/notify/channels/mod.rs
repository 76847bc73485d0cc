//! A file per kind of target: the body for an alert and for a platform notification, within the target's
//! limits whatever they contain; its rate limit; and what its own errors mean.

pub mod alertmanager;
pub mod cloudevents;
pub(super) mod detail;
pub(super) mod lines;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod webhook;

use serde_json::{Value, json};

use super::{
    PlatformNotification, RenderContext,
    delivery::{Redelivery, rate_limit::RateLimit},
};
use crate::domain::slo::TargetKind;

/// Of all lines of a platform notification together: a webhook's body should stay below 20 kB, however
/// many bytes a character has.
const PLATFORM_CHARS: usize = 3_000;
const PLATFORM_KEY_CHARS: usize = 200;

/// `None` if no limit of this kind of target is known.
pub const fn rate_limit(kind: &TargetKind) -> Option<RateLimit> {
    match kind {
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => Some(slack::RATE_LIMIT),
        TargetKind::PagerDuty { .. } => Some(pagerduty::RATE_LIMIT),
        TargetKind::Webhook { .. } | TargetKind::Teams { .. } | TargetKind::Alertmanager { .. } => {
            None
        }
    }
}

fn platform_links(notification: &PlatformNotification, address: &str, title: &str) -> Value {
    let link = |(text, url): (String, &str)| json!({ address: url, title: text });
    Value::Array(notification.links().map(link).collect())
}

fn platform_identity(notification: &PlatformNotification, context: &RenderContext) -> String {
    match context.repeat {
        Redelivery::No => notification.identity(),
        Redelivery::Possible => format!("{} · may be a repeat", notification.identity()),
    }
}

//! The channels, one file per kind of target: the body of a notification within the target's
//! limits, the target's rate limit, and the meaning of its own errors.

pub mod alertmanager;
pub mod cloudevents;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod webhook;

use super::delivery::rate_limit::RateLimit;
use crate::domain::slo::TargetKind;

/// Returns `None` if this kind of target has no known limit.
pub const fn rate_limit(kind: &TargetKind) -> Option<RateLimit> {
    match kind {
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => Some(slack::RATE_LIMIT),
        TargetKind::PagerDuty { .. } => Some(pagerduty::RATE_LIMIT),
        TargetKind::Webhook { .. } | TargetKind::Teams { .. } | TargetKind::Alertmanager { .. } => {
            None
        }
    }
}

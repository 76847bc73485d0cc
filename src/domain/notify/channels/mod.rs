//! A file per kind of target: the body of a notification, within the target's limits whatever it
//! contains; the target's rate limit; and what its own errors mean.

pub mod alertmanager;
pub mod cloudevents;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod webhook;

use super::delivery::rate_limit::RateLimit;
use crate::domain::slo::TargetKind;

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

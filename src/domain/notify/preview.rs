//! The body that a target would receive, with its secret masked.

use serde_json::Value;

use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::{
        Notification, RenderContext,
        channels::{alertmanager, cloudevents, pagerduty, slack, teams, webhook},
    },
    slo::{TargetKind, WebhookFormat},
};

const MASK: &str = "•••";

/// A target that a notification is made for.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    pub name: &'a Name,
    pub kind: &'a TargetKind,
}

/// Makes the body with the renderers of deliveries.
pub fn body(
    to: Addressee<'_>,
    notification: &Notification,
    context: &RenderContext,
    now: Timestamp,
) -> Value {
    match to.kind {
        TargetKind::Webhook { format, .. } => match format {
            WebhookFormat::Standard => webhook::body(notification, context),
            WebhookFormat::AlertmanagerV4 => {
                alertmanager::webhook_v4(notification, context, to.name.as_str())
            }
            WebhookFormat::CloudEvents => cloudevents::body(notification, context, MASK),
        },
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => {
            slack::body(notification, context)
        }
        TargetKind::PagerDuty { .. } => pagerduty::body(notification, context, MASK),
        TargetKind::Teams { .. } => teams::body(notification, context),
        TargetKind::Alertmanager { .. } => {
            Value::Array(vec![alertmanager::posted(notification, context, now)])
        }
    }
}

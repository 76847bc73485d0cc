//! The body that a target would be sent, with its secret masked, for whoever wants to see it.

use serde_json::Value;

use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::{Notification, RenderContext},
    slo::{TargetKind, WebhookFormat},
};

const MASK: &str = "•••";

/// A target that a notification is made for.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    pub name: &'a Name,
    pub kind: &'a TargetKind,
}

/// Made by the renderers that deliveries are made by.
pub fn body(
    to: Addressee<'_>,
    notification: &Notification,
    context: &RenderContext,
    now: Timestamp,
) -> Value {
    match to.kind {
        TargetKind::Webhook { format, .. } => match format {
            WebhookFormat::Standard => notification.webhook(context),
            WebhookFormat::AlertmanagerV4 => notification.webhook_v4(context, to.name.as_str()),
            WebhookFormat::CloudEvents => notification.cloudevent(context, MASK),
        },
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => notification.slack(context),
        TargetKind::PagerDuty { .. } => notification.pagerduty(context, MASK),
        TargetKind::Teams { .. } => notification.teams(context),
        TargetKind::Alertmanager { .. } => Value::Array(vec![notification.posted(context, now)]),
    }
}

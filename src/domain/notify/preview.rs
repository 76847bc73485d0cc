//! The body that a target would be sent, with its secret masked, for whoever wants to see it.

use serde_json::Value;

use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::{Notification, RenderContext},
    slo::{TargetKind, WebhookFormat},
};

const MASK: &str = "•••";

/// A target that has a content told to it.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    pub name: &'a Name,
    pub kind: &'a TargetKind,
}

/// Made by the renderers that deliveries are made by.
pub fn body(
    to: Addressee<'_>,
    content: &Notification,
    context: &RenderContext,
    now: Timestamp,
) -> Value {
    match to.kind {
        TargetKind::Webhook { format, .. } => match format {
            WebhookFormat::Standard => content.webhook(context),
            WebhookFormat::AlertmanagerV4 => content.webhook_v4(context, to.name.as_str()),
            WebhookFormat::CloudEvents => content.cloudevent(context, MASK),
        },
        TargetKind::Slack { .. } | TargetKind::SlackBot { .. } => content.slack(context),
        TargetKind::PagerDuty { .. } => content.pagerduty(context, MASK),
        TargetKind::Teams { .. } => content.teams(context),
        TargetKind::Alertmanager { .. } => Value::Array(vec![content.posted(context, now)]),
    }
}

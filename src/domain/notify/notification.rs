//! What a delivery contains: the snapshot of an alert at a transition, or a platform notification. Each
//! kind of target gets a body of its own for both.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    PlatformNotification, PlatformNotificationKind, RenderContext,
    channels::{alertmanager, cloudevents, pagerduty, slack, teams, webhook},
    wording,
};
use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::time::Timestamp,
    notify::delivery::alert_key,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    Alert(Box<AlertSnapshot>),
    Platform(Box<PlatformNotification>),
}

impl Notification {
    /// What orders it, and what PagerDuty knows it by.
    pub fn key(&self) -> String {
        match self {
            Self::Alert(facts) => alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
            Self::Platform(notification) => notification.key.clone(),
        }
    }

    /// What later notifications of the same alert refer to.
    pub fn episode(&self) -> Uuid {
        match self {
            Self::Alert(facts) => facts.episode,
            Self::Platform(notification) => notification.episode,
        }
    }

    /// Whether somebody tries the target, and nothing has happened.
    pub const fn is_test(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Platform(_) => false,
        }
    }

    /// Whether it is worth nothing any more after a minute.
    pub fn is_brief(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Platform(notification) => {
                notification.kind == PlatformNotificationKind::Heartbeat
            }
        }
    }

    pub fn kind(&self) -> TransitionKind {
        match self {
            Self::Alert(facts) => facts.kind,
            Self::Platform(notification) if notification.kind.is_end() => TransitionKind::Resolved,
            Self::Platform(_) => TransitionKind::Firing,
        }
    }

    /// One line that can be read aloud.
    pub fn headline(&self) -> String {
        match self {
            Self::Alert(facts) => wording::headline(facts),
            Self::Platform(notification) => notification.headline(),
        }
    }

    pub fn slack(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::body(facts, context),
            Self::Platform(notification) => slack::platform_body(notification, context),
        }
    }

    /// For the thread of the first message of the same episode.
    pub fn slack_reply(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::reply(facts, context),
            Self::Platform(notification) => slack::platform_reply(notification, context),
        }
    }

    /// Where Slack refuses the blocks.
    pub fn slack_text(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::text_only(facts, context),
            Self::Platform(notification) => slack::platform_text_only(notification, context),
        }
    }

    pub fn teams(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => teams::body(facts, context),
            Self::Platform(notification) => teams::platform_body(notification, context),
        }
    }

    /// Where Teams refuses the card.
    pub fn teams_text(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => teams::text_only(facts, context),
            Self::Platform(notification) => teams::platform_text_only(notification, context),
        }
    }

    pub fn pagerduty(&self, context: &RenderContext, routing_key: &str) -> Value {
        match self {
            Self::Alert(facts) => pagerduty::body(facts, context, routing_key),
            Self::Platform(notification) => {
                pagerduty::platform_body(notification, context, routing_key)
            }
        }
    }

    /// One alert for an Alertmanager, as it is at `now`.
    pub fn posted(&self, context: &RenderContext, now: Timestamp) -> Value {
        match self {
            Self::Alert(facts) => alertmanager::posted(facts, context, now),
            Self::Platform(notification) => {
                alertmanager::platform_posted(notification, context, now)
            }
        }
    }

    pub fn webhook(&self, context: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => webhook::body(facts, context),
            Self::Platform(notification) => webhook::platform_body(notification, context),
        }
    }

    pub fn webhook_v4(&self, context: &RenderContext, receiver: &str) -> Value {
        match self {
            Self::Alert(facts) => alertmanager::webhook_v4(facts, context, receiver),
            Self::Platform(notification) => {
                alertmanager::platform_webhook_v4(notification, context, receiver)
            }
        }
    }

    /// `id` is the same over all tries.
    pub fn cloudevent(&self, context: &RenderContext, id: &str) -> Value {
        match self {
            Self::Alert(facts) => cloudevents::body(facts, context, id),
            Self::Platform(notification) => cloudevents::platform_body(notification, context, id),
        }
    }
}

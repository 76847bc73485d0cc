//! What one delivery tells: the facts of an alert's transition, or a notice. Each kind of target is
//! told either by a body of the same kind.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    PlatformNotification, PlatformNotificationKind, RenderContext,
    channels::{alertmanager, cloudevents, pagerduty, slack, teams, webhook},
    notice, wording,
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
    #[serde(rename = "platform")]
    Notice(Box<PlatformNotification>),
}

impl Notification {
    /// What orders it, and what PagerDuty knows it by.
    pub fn key(&self) -> String {
        match self {
            Self::Alert(facts) => alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
            Self::Notice(notice) => notice.key.clone(),
        }
    }

    /// What a target refers to when it is told of the same again.
    pub fn episode(&self) -> Uuid {
        match self {
            Self::Alert(facts) => facts.episode,
            Self::Notice(notice) => notice.episode,
        }
    }

    /// Whether somebody tries the target, and nothing has happened.
    pub const fn is_test(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Notice(_) => false,
        }
    }

    /// Whether it is worth nothing any more after a minute.
    pub fn is_brief(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Notice(notice) => notice.kind == PlatformNotificationKind::Heartbeat,
        }
    }

    pub fn kind(&self) -> TransitionKind {
        match self {
            Self::Alert(facts) => facts.kind,
            Self::Notice(notice) if notice.kind.is_end() => TransitionKind::Resolved,
            Self::Notice(_) => TransitionKind::Firing,
        }
    }

    /// One line that can be read aloud.
    pub fn headline(&self) -> String {
        match self {
            Self::Alert(facts) => wording::headline(facts),
            Self::Notice(notice) => notice.headline(),
        }
    }

    pub fn slack(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::body(facts, telling),
            Self::Notice(notice) => notice::slack(notice, telling),
        }
    }

    /// For the thread of the first message of the same episode.
    pub fn slack_reply(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::reply(facts, telling),
            Self::Notice(notice) => notice::slack_reply(notice, telling),
        }
    }

    /// Where Slack refuses the blocks.
    pub fn slack_text(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => slack::text_only(facts, telling),
            Self::Notice(notice) => notice::slack_text(notice, telling),
        }
    }

    pub fn teams(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => teams::body(facts, telling),
            Self::Notice(notice) => notice::teams(notice, telling),
        }
    }

    /// Where Teams refuses the card.
    pub fn teams_text(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => teams::text_only(facts, telling),
            Self::Notice(notice) => notice::teams_text(notice, telling),
        }
    }

    pub fn pagerduty(&self, telling: &RenderContext, routing_key: &str) -> Value {
        match self {
            Self::Alert(facts) => pagerduty::body(facts, telling, routing_key),
            Self::Notice(notice) => notice::pagerduty(notice, telling, routing_key),
        }
    }

    /// One alert for an Alertmanager, as it stands at `now`.
    pub fn posted(&self, telling: &RenderContext, now: Timestamp) -> Value {
        match self {
            Self::Alert(facts) => alertmanager::posted(facts, telling, now),
            Self::Notice(notice) => notice::posted(notice, telling, now),
        }
    }

    pub fn webhook(&self, telling: &RenderContext) -> Value {
        match self {
            Self::Alert(facts) => webhook::body(facts, telling),
            Self::Notice(notice) => notice::webhook(notice, telling),
        }
    }

    pub fn webhook_v4(&self, telling: &RenderContext, receiver: &str) -> Value {
        match self {
            Self::Alert(facts) => alertmanager::webhook_v4(facts, telling, receiver),
            Self::Notice(notice) => notice::webhook_v4(notice, telling, receiver),
        }
    }

    /// `id` is the same over all tries.
    pub fn cloudevent(&self, telling: &RenderContext, id: &str) -> Value {
        match self {
            Self::Alert(facts) => cloudevents::body(facts, telling, id),
            Self::Notice(notice) => notice::cloudevent(notice, telling, id),
        }
    }
}

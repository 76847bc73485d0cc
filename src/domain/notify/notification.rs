//! The contents of a delivery: the snapshot of an alert at a transition, or a platform
//! notification.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PlatformNotification, PlatformNotificationKind, delivery::alert_key, wording};
use crate::domain::alerting::{alert::TransitionKind, snapshot::AlertSnapshot};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    Alert(Box<AlertSnapshot>),
    Platform(Box<PlatformNotification>),
}

impl Notification {
    /// Returns the ordering key, which is also PagerDuty's dedup key.
    pub fn key(&self) -> String {
        match self {
            Self::Alert(facts) => alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
            Self::Platform(notification) => notification.key.clone(),
        }
    }

    /// Returns the id that later notifications of the same alert refer to.
    pub fn episode(&self) -> Uuid {
        match self {
            Self::Alert(facts) => facts.episode,
            Self::Platform(notification) => notification.episode,
        }
    }

    /// Returns whether it is a test, and nothing has happened.
    pub const fn is_test(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Platform(_) => false,
        }
    }

    /// Returns whether it is useless after a minute.
    pub fn is_brief(&self) -> bool {
        match self {
            Self::Alert(facts) => facts.is_test,
            Self::Platform(_) => self.is_heartbeat(),
        }
    }

    pub fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Platform(of) if of.kind == PlatformNotificationKind::Heartbeat)
    }

    pub fn kind(&self) -> TransitionKind {
        match self {
            Self::Alert(facts) => facts.kind,
            Self::Platform(notification) if notification.kind.is_end() => TransitionKind::Resolved,
            Self::Platform(_) => TransitionKind::Firing,
        }
    }

    /// Returns one line that can be read aloud.
    pub fn headline(&self) -> String {
        match self {
            Self::Alert(facts) => wording::headline(facts),
            Self::Platform(notification) => notification.headline(),
        }
    }
}

impl From<AlertSnapshot> for Notification {
    fn from(alert: AlertSnapshot) -> Self {
        Self::Alert(Box::new(alert))
    }
}

impl From<PlatformNotification> for Notification {
    fn from(notification: PlatformNotification) -> Self {
        Self::Platform(Box::new(notification))
    }
}

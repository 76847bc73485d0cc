//! Notifications that are not about alerts: a health check of the service, its heartbeat, or a
//! digest of many notifications.
//!
//! A platform notification is text: sentences, and links.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    model::{text, time::Timestamp},
    slo::Severity,
};

/// The length that a phone shows of a push message.
const HEADLINE_CHARS: usize = 150;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformNotificationKind {
    /// A problem of the service itself.
    #[serde(rename = "health_check_opened")]
    SelfCheckOpened,
    /// The problem is solved.
    #[serde(rename = "health_check_resolved")]
    SelfCheckResolved,
    /// Many notifications in one message.
    Digest,
    /// The service works: the absence of heartbeats is the alarm.
    Heartbeat,
    /// What a month counted for the SLOs of a team.
    Report,
}

/// Version 1; stored as JSON in `platform_notifications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformNotification {
    pub kind: PlatformNotificationKind,
    /// The subject: the same from opened to resolved, and each time that it opens again.
    pub key: String,
    /// The same from opened to resolved; for notifications without an end, unique.
    pub episode: Uuid,
    pub severity: Severity,
    /// A sentence without a full stop.
    pub title: String,
    pub lines: Vec<String>,
    pub links: Vec<PlatformNotificationLink>,
    /// The time at which it opened.
    pub since: Timestamp,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformNotificationLink {
    pub title: String,
    pub url: String,
}

impl PlatformNotificationKind {
    pub const fn is_end(self) -> bool {
        matches!(self, Self::SelfCheckResolved)
    }

    /// Returns the type of a webhook's message.
    pub const fn message_type(self) -> &'static str {
        match self {
            Self::SelfCheckOpened => "slo.self_check.opened",
            Self::SelfCheckResolved => "slo.self_check.resolved",
            Self::Digest => "slo.digest",
            Self::Heartbeat => "slo.heartbeat",
            Self::Report => "slo.report",
        }
    }
}

impl PlatformNotification {
    /// Returns one line that can be read aloud, at most 150 characters.
    pub fn headline(&self) -> String {
        let lead = match self.kind {
            PlatformNotificationKind::SelfCheckOpened => "Throughline itself: ",
            PlatformNotificationKind::SelfCheckResolved => "Over, Throughline itself: ",
            PlatformNotificationKind::Digest
            | PlatformNotificationKind::Heartbeat
            | PlatformNotificationKind::Report => "",
        };
        text::plain(&format!("{lead}{}", self.title), HEADLINE_CHARS)
    }
}

#[cfg(test)]
mod tests;

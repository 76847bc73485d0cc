//! Notifications besides those of alerts: a health check of the service, its heartbeat, or many
//! notifications in one message.
//!
//! A platform notification is text. The files in [`channels`](super::channels) make the body for each
//! kind of target from it, within the same limits as those of alerts.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RenderContext, wording};
use crate::domain::{
    model::{text, time::Timestamp},
    slo::Severity,
};

/// As much as a phone shows of a push message.
const HEADLINE_CHARS: usize = 150;
const LINE_CHARS: usize = 300;
/// What a message tells at most; how many lines are left out is its last line.
const MAX_LINES: usize = 25;
const MAX_LINKS: usize = 3;
const LINK_CHARS: usize = 60;
const URL_BYTES: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformNotificationKind {
    /// Something is wrong with the service itself.
    #[serde(rename = "health_check_opened")]
    SelfCheckOpened,
    /// It is well again.
    #[serde(rename = "health_check_resolved")]
    SelfCheckResolved,
    /// Many things in one message.
    Digest,
    /// The service works: its absence is the alarm.
    Heartbeat,
}

/// Version 1; kept as JSON in `platform_notifications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformNotification {
    pub kind: PlatformNotificationKind,
    /// What it is about: the same from opened to resolved, and over all times that it opens.
    pub key: String,
    /// From opened to resolved; of what never ends, of this notification alone.
    pub episode: Uuid,
    pub severity: Severity,
    /// A sentence without a full stop.
    pub title: String,
    pub lines: Vec<String>,
    pub links: Vec<PlatformNotificationLink>,
    /// When it opened.
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

    /// The type of a webhook's message.
    pub const fn message_type(self) -> &'static str {
        match self {
            Self::SelfCheckOpened => "slo.self_check.opened",
            Self::SelfCheckResolved => "slo.self_check.resolved",
            Self::Digest => "slo.digest",
            Self::Heartbeat => "slo.heartbeat",
        }
    }
}

impl PlatformNotification {
    /// One line that can be read aloud, at most 150 characters.
    pub fn headline(&self) -> String {
        let lead = match self.kind {
            PlatformNotificationKind::SelfCheckOpened => "Throughline itself: ",
            PlatformNotificationKind::SelfCheckResolved => "Over, Throughline itself: ",
            PlatformNotificationKind::Digest | PlatformNotificationKind::Heartbeat => "",
        };
        text::plain(&format!("{lead}{}", self.title), HEADLINE_CHARS)
    }

    /// What is known of the way that it took, then the lines, each made fit to stand in a message, in
    /// at most so many characters.
    pub(super) fn text_lines(
        &self,
        context: &RenderContext,
        max_chars: usize,
        escaped: impl Fn(&str) -> String,
    ) -> Vec<String> {
        let notes = wording::notes(context).map(|notes| format!("{notes}."));
        let lines = notes.iter().chain(&self.lines);
        let lines = lines.filter(|line| !line.trim().is_empty());
        let mut shown = Vec::new();
        let mut room = max_chars;
        for line in lines.clone().take(MAX_LINES) {
            let line = escaped(&text::plain(line, LINE_CHARS));
            let Some(left) = room.checked_sub(line.chars().count() + 1) else {
                break;
            };
            room = left;
            shown.push(line);
        }
        let left_out = lines.count() - shown.len();
        if left_out > 0 {
            shown.push(format!("and {left_out} more"));
        }
        shown
    }

    /// Titles and addresses.
    pub(super) fn links(&self) -> impl Iterator<Item = (String, &str)> {
        self.links.iter().take(MAX_LINKS).filter_map(|link| {
            let url = text::web_address(&link.url, URL_BYTES)?;
            Some((text::plain(&link.title, LINK_CHARS), url))
        })
    }

    /// Names the notification to people who ask about it.
    pub(super) fn identity(&self) -> String {
        let mut identity = text::plain(&self.key, LINE_CHARS);
        let _written = write!(identity, " · {}", self.episode.simple());
        identity
    }
}

#[cfg(test)]
mod tests;

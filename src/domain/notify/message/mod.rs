//! The message of a notification: its contents for people, before a channel formats it.
//!
//! Alerts and platform notifications become the same [`Message`], so a channel renders both with
//! one function, and all channels have the same contents in the same order.

mod detail;
mod of_alert;
mod of_platform;
mod paragraphs;

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Notification, RenderContext, delivery::Redelivery};
use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::{format, text, time::Timestamp},
    slo::Severity,
};

pub(crate) use detail::Detail;

/// The maximum length of a string that comes from outside.
const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 1_500;
/// The time after which an Alertmanager takes an alert as ended if it is not repeated.
const FIRING_FOR: Duration = Duration::from_hours(1);

/// One notification as people read it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// One line that can be read aloud, at most 150 characters.
    pub(crate) headline: String,
    pub(crate) status: MessageStatus,
    /// `None` if no one has to act.
    pub(crate) severity: Option<Severity>,
    /// True if it is a test, and nothing has happened.
    pub(crate) is_test: bool,
    pub(crate) identity: MessageIdentity,
    /// The time at which the alert fired.
    pub(crate) started_at: Timestamp,
    /// The time at which the numbers were evaluated.
    pub(crate) at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// The time after which it may be taken as ended if it is not repeated.
    pub(crate) valid_for: Duration,
    /// Remarks on the delivery, as one line.
    pub(crate) notes: Option<String>,
    /// Sentences about what happened.
    pub(crate) sentences: Vec<MessageField>,
    /// Numbers, most important first; at most ten.
    pub(crate) fields: Vec<MessageField>,
    pub(crate) paragraphs: Vec<Paragraph>,
    pub(crate) image: Option<MessageImage>,
    /// At most one page and one runbook.
    pub(crate) links: Vec<MessageLink>,
    /// Names and values for programs.
    pub(crate) details: Map<String, Value>,
    /// Identifies the notification for questions about it.
    pub(crate) footer: String,
}

/// The identity of a message, which does not change from firing to resolved.
#[derive(Clone, Debug)]
pub(crate) struct MessageIdentity {
    /// The same for a repetition, an update and the end.
    pub(crate) key: String,
    /// The alert's name in Prometheus.
    pub(crate) alert_name: String,
    pub(crate) source: String,
    pub(crate) class: &'static str,
    pub(crate) service: Option<String>,
    /// The SLO's own labels; users choose the names.
    pub(crate) labels: Vec<(String, String)>,
    /// Additional labels; we choose the names.
    pub(crate) own_labels: Vec<(&'static str, String)>,
}

/// The present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageStatus {
    Firing,
    /// Firing, but without data for a verdict.
    NoData,
    Reminder,
    Acknowledged,
    Resolved,
    /// Its SLO was removed while it fired.
    Removed,
    /// A problem of the service itself.
    HealthCheck,
    Digest,
    Heartbeat,
    Report,
}

/// A line with a name.
#[derive(Clone, Debug)]
pub(crate) struct MessageField {
    /// The name of a field, for formats whose fields have names.
    pub(crate) key: &'static str,
    /// The text before the value.
    pub(crate) title: &'static str,
    pub(crate) value: Line,
}

/// Lines under a title. Lines without a title come from outside and are shown unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Paragraph {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

pub(crate) type Line = Vec<LinePart>;

/// A part of a line.
#[derive(Clone, Debug)]
pub(crate) enum LinePart {
    /// Our own words and numbers, without characters that a channel could interpret as markup.
    Ours(String),
    /// A string that comes from outside, on one line and at most 200 characters long.
    Theirs(String),
    /// The text and URL of a link; both come from outside.
    Link(String, String),
    Time(Timestamp),
}

#[derive(Clone, Debug)]
pub(crate) struct MessageImage {
    pub(crate) url: String,
    /// A description of the chart for those who cannot see it.
    pub(crate) alt: String,
}

#[derive(Clone, Debug)]
pub(crate) struct MessageLink {
    pub(crate) kind: LinkKind,
    /// In a platform notification it may come from outside.
    pub(crate) title: String,
    /// A URL of at most 1,500 bytes.
    pub(crate) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// The page of the message's subject.
    Page,
    Action,
    Runbook,
    More,
}

impl Message {
    /// Makes the message with this level of detail.
    pub(crate) fn new(
        notification: &Notification,
        context: &RenderContext,
        detail: Detail,
    ) -> Self {
        match notification {
            Notification::Alert(alert) => Self::of_alert(alert, context, detail),
            Notification::Platform(platform) => of_platform::message(platform, context, detail),
        }
    }

    pub(crate) fn of_alert(alert: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Self {
        of_alert::message(alert, context, detail)
    }

    /// Makes the message with the most detail that fits once it is rendered.
    pub(crate) fn richest(
        notification: &Notification,
        context: &RenderContext,
        render: impl Fn(&Self) -> Value,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        Detail::richest(
            |detail| render(&Self::new(notification, context, detail)),
            fits,
        )
    }

    /// Returns the headline and the notes, for targets that accept only plain text.
    pub(crate) fn as_text(&self) -> String {
        let notes = self.notes.iter().map(String::as_str);
        let parts: Vec<&str> = std::iter::once(self.headline.as_str())
            .chain(notes)
            .collect();
        parts.join(". ")
    }

    /// Returns all of it as plain text.
    pub(crate) fn in_full(&self) -> String {
        let mut lines = vec![self.headline.clone()];
        lines.extend(self.notes.clone());
        lines.extend(self.sentences.iter().map(|one| plain_text(&one.value)));
        let fields = self.fields.iter();
        lines.extend(fields.map(|one| format!("{}: {}", one.title, plain_text(&one.value))));
        for paragraph in &self.paragraphs {
            lines.push(format!("{}:", paragraph.title));
            let below = paragraph.lines.iter();
            lines.extend(below.map(|line| format!("- {}", plain_text(line))));
        }
        let addresses = self.links.iter();
        lines.extend(addresses.map(|link| format!("{}: {}", link.title, link.url)));
        lines.join("\n")
    }

    pub(crate) fn link(&self, kind: LinkKind) -> Option<&str> {
        let link = self.links.iter().find(|link| link.kind == kind)?;
        Some(&link.url)
    }
}

impl MessageField {
    fn new(key: &'static str, title: &'static str, text: impl Into<String>) -> Self {
        let value = vec![ours(text)];
        Self { key, title, value }
    }
}

impl MessageLink {
    /// Returns `None` if `url` is not a web address.
    fn new(kind: LinkKind, title: &str, url: &str) -> Option<Self> {
        let title = text::plain(title, STRING_CHARS);
        let url = address(url)?;
        Some(Self { kind, title, url })
    }
}

impl LinePart {
    /// Returns it as plain text.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Ours(text) | Self::Theirs(text) => text.clone(),
            Self::Link(name, url) => format!("{name}: {url}"),
            Self::Time(at) => format::date_time(*at),
        }
    }
}

/// Returns a line without markup.
pub(crate) fn plain_text(line: &Line) -> String {
    line.iter().map(LinePart::plain).collect()
}

fn ours(text: impl Into<String>) -> LinePart {
    LinePart::Ours(text.into())
}

fn theirs(text: &str) -> LinePart {
    LinePart::Theirs(text::plain(text, STRING_CHARS))
}

fn link(name: &str, url: &str) -> Option<LinePart> {
    let name = text::plain(name, STRING_CHARS);
    Some(LinePart::Link(name, address(url)?))
}

fn address(url: &str) -> Option<String> {
    Some(text::web_address(url, URL_BYTES)?.to_owned())
}

/// ` · may be a repeat`.
const fn repeated(context: &RenderContext) -> &'static str {
    match context.repeat {
        Redelivery::No => "",
        Redelivery::Possible => " · may be a repeat",
    }
}

//! The message of a notification: what a person reads of it, before a channel gives it a form.
//!
//! Alerts and platform notifications become the same [`Message`], so a channel renders both with one
//! function, and every channel says the same in the same order.

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

/// Of a string that somebody else wrote.
const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 1_500;
/// An Alertmanager that hears nothing takes an alert for over after this.
const FIRING_FOR: Duration = Duration::from_hours(1);

/// One notification as people read it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// One line that can be read aloud, at most 150 characters.
    pub(crate) headline: String,
    pub(crate) status: MessageStatus,
    /// `None` where nobody has to act.
    pub(crate) severity: Option<Severity>,
    /// Whether somebody tries the target, and nothing has happened.
    pub(crate) is_test: bool,
    pub(crate) identity: MessageIdentity,
    /// When the alert fired.
    pub(crate) started_at: Timestamp,
    /// When the numbers were evaluated.
    pub(crate) at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// After so long without a repetition it may be taken for over.
    pub(crate) valid_for: Duration,
    /// What is to be known of how it came, as one line.
    pub(crate) notes: Option<String>,
    /// What happened, in sentences.
    pub(crate) sentences: Vec<MessageField>,
    /// Numbers, most useful first; at most ten.
    pub(crate) fields: Vec<MessageField>,
    pub(crate) paragraphs: Vec<Paragraph>,
    pub(crate) image: Option<MessageImage>,
    /// At most one page and one runbook.
    pub(crate) links: Vec<MessageLink>,
    /// What programs read: names and values.
    pub(crate) details: Map<String, Value>,
    /// Names the notification to people who ask about it.
    pub(crate) footer: String,
}

/// What others know a message by: it does not change from firing to resolved.
#[derive(Clone, Debug)]
pub(crate) struct MessageIdentity {
    /// What a repetition, an update and the end have in common.
    pub(crate) key: String,
    /// As Prometheus would name the alert.
    pub(crate) alert_name: String,
    pub(crate) source: String,
    pub(crate) class: &'static str,
    pub(crate) service: Option<String>,
    /// Of the SLO's own; the names are a user's.
    pub(crate) labels: Vec<(String, String)>,
    /// Besides these; the names are ours.
    pub(crate) own_labels: Vec<(&'static str, String)>,
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageStatus {
    Firing,
    /// It fires, and cannot be judged.
    NoData,
    Reminder,
    Acknowledged,
    Resolved,
    /// Its SLO was removed while it fired.
    Removed,
    /// Something is wrong with the service itself.
    HealthCheck,
    Digest,
    Heartbeat,
}

/// A line with a name.
#[derive(Clone, Debug)]
pub(crate) struct MessageField {
    /// Where fields have names.
    pub(crate) key: &'static str,
    /// What people read before the value.
    pub(crate) title: &'static str,
    pub(crate) value: Line,
}

/// Lines under a title; without one they are what somebody else wrote, to be shown as it is.
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
    /// Words and numbers of ours, without anything that a channel could take for markup.
    Ours(String),
    /// What somebody else wrote, on one line and at most 200 characters long.
    Theirs(String),
    /// What a web address is called, and the address; neither is ours.
    Link(String, String),
    Time(Timestamp),
}

#[derive(Clone, Debug)]
pub(crate) struct MessageImage {
    pub(crate) url: String,
    /// The picture in words, for who cannot see it.
    pub(crate) alt: String,
}

#[derive(Clone, Debug)]
pub(crate) struct MessageLink {
    pub(crate) kind: LinkKind,
    /// A platform notification's may be somebody else's words.
    pub(crate) title: String,
    /// A web address of at most 1,500 bytes.
    pub(crate) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// The page of what the message is about.
    Page,
    Action,
    Runbook,
    More,
}

impl Message {
    /// With as much of the notification as `detail` says.
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

    /// With as much of the notification as fits once it is rendered.
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

    /// The headline and the notes, where a target takes plain text only.
    pub(crate) fn as_text(&self) -> String {
        let notes = self.notes.iter().map(String::as_str);
        let parts: Vec<&str> = std::iter::once(self.headline.as_str())
            .chain(notes)
            .collect();
        parts.join(". ")
    }

    /// All of it without any markup, as a person reads it.
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
    /// `None` if it is no web address.
    fn new(kind: LinkKind, title: &str, url: &str) -> Option<Self> {
        let title = text::plain(title, STRING_CHARS);
        let url = address(url)?;
        Some(Self { kind, title, url })
    }
}

impl LinePart {
    /// As plain text.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Ours(text) | Self::Theirs(text) => text.clone(),
            Self::Link(name, url) => format!("{name}: {url}"),
            Self::Time(at) => format::date_time(*at),
        }
    }
}

/// A line without any markup.
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

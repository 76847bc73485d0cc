//! The message of a platform notification.

use std::time::Duration;

use serde_json::{Map, json};

use super::{
    Detail, FIRING_FOR, LinePart, LinkKind, Message, MessageIdentity, MessageLink, MessageStatus,
    Paragraph, ours, repeated,
};
use crate::domain::{
    model::text,
    notify::{PlatformNotification, PlatformNotificationKind as Kind, RenderContext, wording},
    slo::Severity,
};

/// The time after which a heartbeat that is not repeated has ended, as in Prometheus: four of its
/// intervals.
const HEARTBEAT_FOR: Duration = Duration::from_mins(4);
const KEY_CHARS: usize = 200;
const LINE_CHARS: usize = 300;
/// The last line says how many lines are left out.
const MAX_LINES: usize = 25;
const MAX_LINKS: usize = 3;
const URL_BYTES: usize = 500;

pub(super) fn message(
    notification: &PlatformNotification,
    context: &RenderContext,
    detail: Detail,
) -> Message {
    let kind = notification.kind;
    Message {
        headline: notification.headline(),
        status: match kind {
            Kind::SelfCheckOpened => MessageStatus::HealthCheck,
            Kind::SelfCheckResolved => MessageStatus::Resolved,
            Kind::Digest => MessageStatus::Digest,
            Kind::Heartbeat => MessageStatus::Heartbeat,
            Kind::Report => MessageStatus::Report,
        },
        severity: severity(notification),
        is_test: false,
        identity: identity(notification),
        started_at: notification.since,
        at: notification.at,
        ended_at: kind.is_end().then_some(notification.at),
        valid_for: match kind {
            Kind::Heartbeat => HEARTBEAT_FOR,
            Kind::SelfCheckOpened | Kind::SelfCheckResolved | Kind::Digest | Kind::Report => {
                FIRING_FOR
            }
        },
        notes: wording::notes(context),
        sentences: Vec::new(),
        fields: Vec::new(),
        paragraphs: paragraphs(notification, detail),
        image: None,
        links: links(notification),
        details: Map::from_iter([
            ("since".to_owned(), json!(notification.since)),
            ("incident".to_owned(), json!(notification.episode)),
        ]),
        footer: format!(
            "{} · {}{}",
            text::plain(&notification.key, KEY_CHARS),
            notification.episode.simple(),
            repeated(context)
        ),
    }
}

const fn severity(notification: &PlatformNotification) -> Option<Severity> {
    match notification.kind {
        Kind::SelfCheckOpened | Kind::SelfCheckResolved => Some(notification.severity),
        Kind::Digest | Kind::Heartbeat | Kind::Report => None,
    }
}

fn identity(notification: &PlatformNotification) -> MessageIdentity {
    let key = text::plain(&notification.key, KEY_CHARS);
    MessageIdentity {
        // `Watchdog` is Prometheus' usual name for an alert that always fires.
        alert_name: match notification.kind {
            Kind::SelfCheckOpened | Kind::SelfCheckResolved => "ThroughlineSelfCheck",
            Kind::Digest => "ThroughlineDigest",
            Kind::Heartbeat => "Watchdog",
            Kind::Report => "ThroughlineReport",
        }
        .to_owned(),
        source: "throughline".to_owned(),
        class: "throughline-platform",
        service: None,
        labels: Vec::new(),
        own_labels: vec![("key", key.clone())],
        key,
    }
}

fn paragraphs(notification: &PlatformNotification, detail: Detail) -> Vec<Paragraph> {
    let lines = lines(&notification.lines, detail.text_chars());
    if lines.is_empty() {
        return Vec::new();
    }
    vec![Paragraph {
        key: "description",
        title: String::new(),
        lines: lines.into_iter().map(|line| vec![line]).collect(),
    }]
}

/// Returns as many lines as fit in `max_chars`, and how many do not.
fn lines(all: &[String], max_chars: usize) -> Vec<LinePart> {
    let lines = all.iter().filter(|line| !line.trim().is_empty());
    let mut shown = Vec::new();
    let mut room = max_chars;
    for line in lines.clone().take(MAX_LINES) {
        let line = text::plain(line, LINE_CHARS);
        let Some(left) = room.checked_sub(line.chars().count() + 1) else {
            break;
        };
        room = left;
        shown.push(LinePart::Theirs(line));
    }
    let left_out = lines.count() - shown.len();
    if left_out > 0 {
        shown.push(ours(format!("and {left_out} more")));
    }
    shown
}

fn links(notification: &PlatformNotification) -> Vec<MessageLink> {
    let links = notification.links.iter().take(MAX_LINKS);
    let links = links.filter(|link| link.url.len() <= URL_BYTES).enumerate();
    let kind = |nth| match nth {
        0 => LinkKind::Page,
        _ => LinkKind::More,
    };
    links
        .filter_map(|(nth, link)| MessageLink::new(kind(nth), &link.title, &link.url))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_too_many_are_counted() {
        let shown = lines(&vec!["x".repeat(200); 100], 1_000);
        assert_eq!(shown.len(), 5);
        assert_eq!(shown[4].plain(), "and 96 more");
    }
}

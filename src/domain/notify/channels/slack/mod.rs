//! A message for Slack: Block Kit.
//!
//! Slack rejects a message of about 13,000 characters of blocks even if every block is within its
//! own limit (slackapi/bolt-js#2509), so ours has at most 5,500, and 12 blocks. Every user string
//! has a limit of its own *after* escaping; a message that is too long is rendered with less
//! detail.

pub mod errors;

use std::time::Duration;

use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::domain::{
    model::{format, text, time::Timestamp},
    notify::{
        Notification, RenderContext,
        delivery::rate_limit::RateLimit,
        message::{
            Detail, Line, LinePart, Message, MessageField, MessageLink, MessageStatus, Paragraph,
            plain_text,
        },
    },
    slo::Severity,
};

/// "1 per second, short bursts allowed", for a webhook and for a bot's channel; a sender that
/// ignores a response that asks to wait may be disabled.
pub const RATE_LIMIT: RateLimit = RateLimit {
    every: Duration::from_secs(1),
    burst: 3,
};
/// Slack's limit.
const HEADER_CHARS: usize = 150;
/// Slack's limit for a section.
const TEXT_CHARS: usize = 3_000;
const STRING_CHARS: usize = 200;
const LINE_STRING_CHARS: usize = 60;
const LINK_NAME_CHARS: usize = 40;
/// Slack's limit.
const BUTTON_CHARS: usize = 75;
const FOOTER_CHARS: usize = 400;
const MAX_BLOCKS: usize = 12;
const MAX_BLOCKS_CHARS: usize = 5_500;

pub fn body(notification: &Notification, context: &RenderContext) -> Value {
    let render = |message: &Message| blocks(header(message), message);
    let blocks = Message::richest(notification, context, render, fits);
    json!({ "text": push_text(notification), "blocks": blocks })
}

/// Makes a later message for the thread of the first, which already names the alert.
pub fn reply(notification: &Notification, context: &RenderContext) -> Value {
    let message = Message::new(notification, context, Detail::Sentence);
    let text = push_text(notification);
    let title = section(&format!("*{text}*"));
    json!({ "text": text, "blocks": blocks(title, &message) })
}

/// Makes the fallback if Slack rejects the blocks: the sentence alone.
pub fn text_only(notification: &Notification, context: &RenderContext) -> Value {
    let message = Message::new(notification, context, Detail::Sentence);
    json!({ "text": escaped(&message.as_text(), usize::MAX) })
}

fn push_text(notification: &Notification) -> String {
    escaped(&notification.headline(), usize::MAX)
}

fn blocks(title: Value, message: &Message) -> Value {
    let mut blocks = vec![title];
    blocks.extend(sentences(message));
    let notes = message.notes.as_ref();
    blocks.extend(notes.map(|notes| section(&format!(":information_source: {notes}."))));
    if !message.fields.is_empty() {
        let fields: Vec<Value> = message.fields.iter().map(field).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    blocks.extend(message.paragraphs.iter().map(paragraph));
    blocks.extend(
        message
            .image
            .as_ref()
            .map(|image| json!({ "type": "image", "image_url": image.url, "alt_text": image.alt })),
    );
    if !message.links.is_empty() {
        let buttons: Vec<Value> = message.links.iter().map(button).collect();
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    let footer = plain(&escaped(&message.footer, FOOTER_CHARS));
    blocks.push(json!({ "type": "context", "elements": [footer] }));
    Value::Array(blocks)
}

fn fits(blocks: &Value) -> bool {
    let is_short = |block: &Value| {
        let text = block.pointer("/text/text").and_then(Value::as_str);
        text.is_none_or(|text| text.chars().count() <= TEXT_CHARS)
    };
    let blocks_fit = |all: &Vec<Value>| all.len() <= MAX_BLOCKS && all.iter().all(is_short);
    blocks.as_array().is_some_and(blocks_fit)
        && blocks.to_string().chars().count() <= MAX_BLOCKS_CHARS
}

fn header(message: &Message) -> Value {
    let test = if message.is_test { ":test_tube: " } else { "" };
    let title = format!("{test}{} {}", icon(message), message.headline);
    let title = text::plain(&title, HEADER_CHARS);
    json!({ "type": "header", "text": plain(&escaped(&title, HEADER_CHARS)) })
}

const fn icon(message: &Message) -> &'static str {
    match (message.status, message.severity) {
        (MessageStatus::Firing, Some(Severity::Ticket)) => ":ticket:",
        (MessageStatus::Firing, _) => ":rotating_light:",
        (MessageStatus::NoData | MessageStatus::HealthCheck, _) => ":warning:",
        (MessageStatus::Reminder, _) => ":bell:",
        (MessageStatus::Acknowledged, _) => ":raised_hand:",
        (MessageStatus::Resolved, _) => ":white_check_mark:",
        (MessageStatus::Removed, _) => ":no_entry_sign:",
        (MessageStatus::Digest, _) => ":bookmark_tabs:",
        (MessageStatus::Heartbeat, _) => ":green_heart:",
        (MessageStatus::Report, _) => ":bar_chart:",
    }
}

fn sentences(message: &Message) -> Option<Value> {
    let lines = message.sentences.iter();
    let lines: Vec<String> = lines.map(|one| marked(&one.value, STRING_CHARS)).collect();
    (!lines.is_empty()).then(|| section(&lines.join("\n")))
}

fn field(field: &MessageField) -> Value {
    let value = marked(&field.value, STRING_CHARS);
    json!({ "type": "mrkdwn", "text": format!("*{}*\n{value}", field.title) })
}

fn paragraph(paragraph: &Paragraph) -> Value {
    let lines = paragraph.lines.iter();
    if paragraph.title.is_empty() {
        // Not as mrkdwn, which has no escape for bold text.
        let lines: Vec<String> = lines.map(plain_text).collect();
        let text = escaped(&lines.join("\n"), usize::MAX);
        return json!({ "type": "section", "text": plain(&text) });
    }
    let line = |line| format!("• {}", marked(line, LINE_STRING_CHARS));
    let lines: Vec<String> = lines.map(line).collect();
    section(&format!("*{}*\n{}", paragraph.title, lines.join("\n")))
}

fn marked(line: &Line, max: usize) -> String {
    let text = line.iter().map(|part| match part {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => code(string, max),
        LinePart::Link(name, url) => link(name, url),
        LinePart::Time(at) => date(*at),
    });
    text.collect()
}

fn link(name: &str, url: &str) -> String {
    let name = escaped(&text::plain(name, LINK_NAME_CHARS), LINK_NAME_CHARS);
    format!("<{}|{}>", escaped(url, usize::MAX), name.replace('|', "/"))
}

fn button(link: &MessageLink) -> Value {
    let label = json!({ "type": "plain_text", "text": escaped(&link.title, BUTTON_CHARS) });
    json!({ "type": "button", "text": label, "url": link.url })
}

fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": mrkdwn } })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": true })
}

/// Formats a date, which Slack shows in the reader's time zone.
fn date(at: Timestamp) -> String {
    format!(
        "<!date^{}^{{date_short_pretty}} {{time}}|{}>",
        at.as_secs(),
        format::date_time(at)
    )
}

/// Formats a user's string as code, since mrkdwn has no escape for `*`, `_`, `~` and the backtick.
fn code(string: &str, max: usize) -> String {
    let inner = escaped(&text::plain(string, max), max);
    if inner.trim().is_empty() {
        "`?`".to_owned()
    } else {
        format!("`{inner}`")
    }
}

/// Escapes a string, so that no attribute of a span can mention a whole channel. The result has at
/// most `max` characters, and neither an entity nor a grapheme is cut in two.
fn escaped(string: &str, max: usize) -> String {
    let mut safe = String::with_capacity(string.len());
    let mut length = 0;
    for letter in string.graphemes(true) {
        let mut piece = String::with_capacity(letter.len());
        for character in letter.chars() {
            match character {
                '&' => piece.push_str("&amp;"),
                '<' => piece.push_str("&lt;"),
                '>' => piece.push_str("&gt;"),
                '`' => piece.push('\''),
                other => piece.push(other),
            }
        }
        length += piece.chars().count();
        if length > max {
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

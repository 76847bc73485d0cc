//! A platform notification for Slack.

use serde_json::{Value, json};

use super::{HEADER_CHARS, escaped, fits};
use crate::domain::notify::{
    PlatformNotification, PlatformNotificationKind, RenderContext, channels::platform_identity,
    wording,
};

/// Of all lines together, each less than the one before: the first is taken with which the message is
/// short enough.
const LINES_CHARS: [usize; 3] = [2_500, 1_000, 200];
const IDENTITY_CHARS: usize = 400;
/// Slack's own limit.
const BUTTON_CHARS: usize = 75;

pub fn platform_body(notification: &PlatformNotification, context: &RenderContext) -> Value {
    let title = escaped(
        &format!("{} {}", icon(notification.kind), notification.headline()),
        HEADER_CHARS,
    );
    let header = json!({
        "type": "header",
        "text": { "type": "plain_text", "text": title, "emoji": true },
    });
    json!({ "text": text(notification), "blocks": blocks(&header, notification, context) })
}

/// In the thread of the notification that opened.
pub fn platform_reply(notification: &PlatformNotification, context: &RenderContext) -> Value {
    let section = json!({
        "type": "section",
        "text": { "type": "mrkdwn", "text": format!("*{}*", text(notification)) },
    });
    json!({ "text": text(notification), "blocks": blocks(&section, notification, context) })
}

/// What is left where Slack refuses the blocks.
pub fn platform_text_only(notification: &PlatformNotification, context: &RenderContext) -> Value {
    let text = [Some(text(notification)), wording::notes(context)];
    let text: Vec<String> = text.into_iter().flatten().collect();
    json!({ "text": text.join(". ") })
}

fn text(notification: &PlatformNotification) -> String {
    escaped(&notification.headline(), usize::MAX)
}

fn blocks(first: &Value, notification: &PlatformNotification, context: &RenderContext) -> Value {
    let mut blocks = Value::Null;
    for most in LINES_CHARS {
        blocks = body(first.clone(), notification, context, most);
        if fits(&blocks) {
            break;
        }
    }
    blocks
}

fn body(
    first: Value,
    notification: &PlatformNotification,
    context: &RenderContext,
    most: usize,
) -> Value {
    let lines = notification.text_lines(context, most, |line| escaped(line, usize::MAX));
    let mut blocks = vec![first];
    if !lines.is_empty() {
        // Not as mrkdwn: it knows no escape for what makes text bold.
        let told = json!({ "type": "plain_text", "text": lines.join("\n"), "emoji": true });
        blocks.push(json!({ "type": "section", "text": told }));
    }
    let button = |(title, url): (String, &str)| {
        let title = escaped(&title, BUTTON_CHARS);
        let label = json!({ "type": "plain_text", "text": title });
        json!({ "type": "button", "text": label, "url": url })
    };
    let buttons: Vec<Value> = notification.links().map(button).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    let line = escaped(&platform_identity(notification, context), IDENTITY_CHARS);
    let element = json!({ "type": "plain_text", "text": line });
    blocks.push(json!({ "type": "context", "elements": [element] }));
    Value::Array(blocks)
}

const fn icon(kind: PlatformNotificationKind) -> &'static str {
    match kind {
        PlatformNotificationKind::SelfCheckOpened => ":warning:",
        PlatformNotificationKind::SelfCheckResolved => ":white_check_mark:",
        PlatformNotificationKind::Digest => ":bookmark_tabs:",
        PlatformNotificationKind::Heartbeat => ":green_heart:",
    }
}

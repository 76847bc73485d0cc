//! Notices for people: Slack and Microsoft Teams.

use serde_json::{Value, json};

use super::{PlatformNotification, PlatformNotificationKind};
use crate::domain::notify::{
    RenderContext,
    channels::{slack as alerts, teams as cards},
    delivery::Redelivery,
    wording,
};

/// Slack's own limit.
const HEADER_CHARS: usize = 150;
/// Of all lines together, each less than the one before: the first is taken with which the message is
/// short enough.
const LINES_CHARS: [usize; 3] = [2_500, 1_000, 200];
const IDENTITY_CHARS: usize = 400;
/// Slack's own limit.
const BUTTON_CHARS: usize = 75;
const CARD_CHARS: usize = 15_000;

pub fn slack(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let title = alerts::escaped(
        &format!("{} {}", icon(notice.kind), notice.headline()),
        HEADER_CHARS,
    );
    let header = json!({
        "type": "header",
        "text": { "type": "plain_text", "text": title, "emoji": true },
    });
    json!({ "text": text(notice), "blocks": blocks(&header, notice, telling) })
}

/// In the thread of the notice that opened.
pub fn slack_reply(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let section = json!({
        "type": "section",
        "text": { "type": "mrkdwn", "text": format!("*{}*", text(notice)) },
    });
    json!({ "text": text(notice), "blocks": blocks(&section, notice, telling) })
}

/// What is left where Slack refuses the blocks.
pub fn slack_text(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let text = [Some(text(notice)), wording::notes(telling)];
    let text: Vec<String> = text.into_iter().flatten().collect();
    json!({ "text": text.join(". ") })
}

fn text(notice: &PlatformNotification) -> String {
    alerts::escaped(&notice.headline(), usize::MAX)
}

fn blocks(first: &Value, notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let mut blocks = Value::Null;
    for most in LINES_CHARS {
        blocks = body(first.clone(), notice, telling, most);
        if alerts::fits(&blocks) {
            break;
        }
    }
    blocks
}

fn body(
    first: Value,
    notice: &PlatformNotification,
    telling: &RenderContext,
    most: usize,
) -> Value {
    let lines = notice.told(telling, most, |line| alerts::escaped(line, usize::MAX));
    let mut blocks = vec![first];
    if !lines.is_empty() {
        // Not as mrkdwn: it knows no escape for what makes text bold.
        let told = json!({ "type": "plain_text", "text": lines.join("\n"), "emoji": true });
        blocks.push(json!({ "type": "section", "text": told }));
    }
    let button = |(title, url): (String, &str)| {
        let title = alerts::escaped(&title, BUTTON_CHARS);
        let label = json!({ "type": "plain_text", "text": title });
        json!({ "type": "button", "text": label, "url": url })
    };
    let buttons: Vec<Value> = notice.links().map(button).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    let line = alerts::escaped(&identity(notice, telling), IDENTITY_CHARS);
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

fn identity(notice: &PlatformNotification, telling: &RenderContext) -> String {
    match telling.repeat {
        Redelivery::No => notice.identity(),
        Redelivery::Possible => format!("{} · may be a repeat", notice.identity()),
    }
}

pub fn teams(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let mut blocks = vec![card_title(notice)];
    let lines = notice.told(telling, CARD_CHARS, cards::escaped);
    blocks.extend(lines.iter().map(|line| cards::block(line)));
    let identity = cards::escaped(&identity(notice, telling));
    blocks.push(json!({
        "type": "TextBlock", "text": identity, "isSubtle": true, "size": "Small", "wrap": true,
    }));
    let open = |(title, url): (String, &str)| json!({ "type": "Action.OpenUrl", "title": cards::escaped(&title), "url": url });
    cards::message_of(&blocks, notice.links().map(open).collect())
}

/// What is left where Teams refuses the card.
pub fn teams_text(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    let mut blocks = vec![card_title(notice)];
    blocks.extend(wording::notes(telling).map(|notes| cards::block(&notes)));
    cards::message_of(&blocks, Vec::new())
}

fn card_title(notice: &PlatformNotification) -> Value {
    let colour = match notice.kind {
        PlatformNotificationKind::SelfCheckOpened => "Attention",
        PlatformNotificationKind::SelfCheckResolved => "Good",
        PlatformNotificationKind::Digest | PlatformNotificationKind::Heartbeat => "Default",
    };
    json!({
        "type": "TextBlock",
        "text": cards::escaped(&notice.headline()),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour,
        "wrap": true,
    })
}

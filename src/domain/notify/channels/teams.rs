//! The body for a workflow of Microsoft Teams: an Adaptive Card 1.4 in a message.
//!
//! Teams takes about 28 kB. Its texts know a little Markdown, which no string of a user's may use.

use serde_json::{Value, json};

use super::{
    lines::{Line, LinePart, Paragraph, paragraphs},
    platform_identity,
};
use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::text,
    notify::{
        Detail, PlatformNotification, PlatformNotificationKind, RenderContext,
        delivery::{AttemptClass, Redelivery},
        wording,
    },
};

const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 2_000;
const MAX_BYTES: usize = 25_000;
/// Of all lines of a platform notification together.
const PLATFORM_CHARS: usize = 15_000;

pub fn body(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    Detail::richest(
        |detail| message(facts, context, detail),
        |message| message.to_string().len() <= MAX_BYTES,
    )
}

/// What is left where Teams refuses the card: the sentence alone.
pub fn text_only(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    message(facts, context, Detail::Sentence)
}

fn message(facts: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Value {
    let mut body = vec![title(facts)];
    let news = wording::development(facts).or_else(|| cost(facts));
    body.extend(news.map(|text| block(&text)));
    let by = wording::acknowledged_by(facts);
    body.extend(by.map(|by| block(&format!("Taken on by {}.", escaped(by)))));
    body.extend(wording::notes(context).map(|notes| block(&format!("{notes}."))));
    if detail.shows_numbers() {
        body.extend(wording::trend(facts).map(|trend| block(&trend)));
        body.push(numbers(facts));
        body.extend(picture(facts, context).filter(|_| detail.shows_picture()));
        body.extend(paragraphs(facts, detail).iter().map(paragraph));
    }
    body.push(identity(facts, context));
    let actions = if detail.shows_numbers() {
        actions(facts, context)
    } else {
        Vec::new()
    };
    message_of(&body, actions)
}

/// A message of one card.
fn message_of(body: &[Value], actions: Vec<Value>) -> Value {
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": body,
    });
    if let (false, Some(object)) = (actions.is_empty(), card.as_object_mut()) {
        object.insert("actions".to_owned(), Value::Array(actions));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn title(facts: &AlertSnapshot) -> Value {
    let colour = match facts.kind {
        TransitionKind::Firing | TransitionKind::Updated | TransitionKind::Unmuted => "Attention",
        TransitionKind::DataStopped | TransitionKind::DataResumed | TransitionKind::Reminded => {
            "Warning"
        }
        TransitionKind::Acknowledged => "Accent",
        TransitionKind::Resolved => "Good",
    };
    json!({
        "type": "TextBlock",
        "text": escaped(&wording::headline(facts)),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour,
        "wrap": true,
    })
}

fn cost(facts: &AlertSnapshot) -> Option<String> {
    let episode = facts.episode_summary.as_ref()?;
    Some(format!(
        "{}: {}.",
        wording::ending(facts),
        wording::cost(facts, episode)
    ))
}

fn numbers(facts: &AlertSnapshot) -> Value {
    let fact = |title: &str, value: String| json!({ "title": title, "value": value });
    let window = facts.long.text();
    let mut shown = vec![
        fact("Bad", format!("{} in {window}", wording::share(facts))),
        fact("Promise", wording::promise(facts)),
        fact("Budget left", wording::budget_left(facts)),
        fact(wording::burn_title(facts), wording::burn(facts)),
    ];
    if facts.kind.lasts() {
        shown.push(fact("Pace", wording::pace(facts)));
        shown.extend(wording::since(facts).map(|since| fact("Since", since)));
        shown.extend(wording::people(facts).map(|who| fact("Who", who)));
    }
    shown.extend(wording::data(facts).map(|data| fact("Data", data)));
    if let Some(slowest) = &facts.slowest_stage {
        let title = escaped(&text::plain(&slowest.title, STRING_CHARS));
        let extra = wording::extra_time(slowest);
        shown.push(fact("Slowest stage", format!("{title}, {extra}")));
    }
    if let Some(group) = &facts.group {
        let values = escaped(&text::plain(&group.text(), STRING_CHARS));
        shown.push(fact("Group", values));
    }
    if let Some(service) = &facts.service {
        shown.push(fact(
            "Service",
            escaped(&text::plain(service, STRING_CHARS)),
        ));
    }
    json!({ "type": "FactSet", "facts": shown })
}

fn picture(facts: &AlertSnapshot, context: &RenderContext) -> Option<Value> {
    let url = text::web_address(context.chart.as_deref()?, URL_BYTES)?;
    Some(json!({ "type": "Image", "url": url, "altText": wording::chart(facts) }))
}

fn paragraph(paragraph: &Paragraph<'_>) -> Value {
    let lines: Vec<String> = paragraph.lines.iter().map(line).collect();
    block(&format!(
        "**{}**\n\n{}",
        paragraph.title,
        lines.join("\n\n")
    ))
}

fn line(pieces: &Line<'_>) -> String {
    let text = pieces.iter().map(|piece| match piece {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => escaped(&text::plain(string, STRING_CHARS)),
        LinePart::Link(name, url) => link(name, url).unwrap_or_default(),
    });
    text.collect()
}

fn link(name: &str, url: &str) -> Option<String> {
    let url = text::web_address(url, URL_BYTES)?;
    let url = url.replace('(', "%28").replace(')', "%29");
    let name = escaped(&text::plain(name, STRING_CHARS));
    Some(format!("[{name}]({url})"))
}

fn identity(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let repeat = match context.repeat {
        Redelivery::No => "",
        Redelivery::Possible => " · may be a repeat",
    };
    let line = format!(
        "{} {} · rule {} · episode {} · notification {}{repeat}",
        wording::urgency(facts.severity),
        facts.slo,
        facts.rule,
        facts.episode.simple(),
        facts.version,
    );
    json!({ "type": "TextBlock", "text": line, "isSubtle": true, "size": "Small", "wrap": true })
}

fn actions(facts: &AlertSnapshot, context: &RenderContext) -> Vec<Value> {
    let open = facts.page_url.as_deref().map(|url| ("Open", url));
    let runbook = facts.runbook.as_deref().map(|url| ("Runbook", url));
    open.into_iter()
        .chain(context.actions.named())
        .chain(runbook)
        .filter_map(|(title, url)| {
            let url = text::web_address(url, URL_BYTES)?;
            Some(json!({ "type": "Action.OpenUrl", "title": title, "url": url }))
        })
        .collect()
}

fn block(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": text, "wrap": true })
}

/// Without Markdown, and without the angle brackets that mentions are written in.
fn escaped(string: &str) -> String {
    let mut safe = String::with_capacity(string.len());
    for character in string.chars() {
        match character {
            '<' => safe.push('‹'),
            '>' => safe.push('›'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '#' => safe.extend(['\\', character]),
            other => safe.push(other),
        }
    }
    safe
}

pub fn platform_body(notification: &PlatformNotification, context: &RenderContext) -> Value {
    let mut blocks = vec![platform_title(notification)];
    let lines = notification.text_lines(context, PLATFORM_CHARS, escaped);
    blocks.extend(lines.iter().map(|line| block(line)));
    let identity = escaped(&platform_identity(notification, context));
    blocks.push(json!({
        "type": "TextBlock", "text": identity, "isSubtle": true, "size": "Small", "wrap": true,
    }));
    let open = |(title, url): (String, &str)| json!({ "type": "Action.OpenUrl", "title": escaped(&title), "url": url });
    message_of(&blocks, notification.links().map(open).collect())
}

/// What is left where Teams refuses the card.
pub fn platform_text_only(notification: &PlatformNotification, context: &RenderContext) -> Value {
    let mut blocks = vec![platform_title(notification)];
    blocks.extend(wording::notes(context).map(|notes| block(&notes)));
    message_of(&blocks, Vec::new())
}

fn platform_title(notification: &PlatformNotification) -> Value {
    let colour = match notification.kind {
        PlatformNotificationKind::SelfCheckOpened => "Attention",
        PlatformNotificationKind::SelfCheckResolved => "Good",
        PlatformNotificationKind::Digest | PlatformNotificationKind::Heartbeat => "Default",
    };
    json!({
        "type": "TextBlock",
        "text": escaped(&notification.headline()),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour,
        "wrap": true,
    })
}

/// Teams has answered 200 with the error of the service behind it in words.
pub fn class_of(body: &str) -> Option<AttemptClass> {
    if body.contains("HTTP error 429") {
        Some(AttemptClass::RateLimited)
    } else if body.contains("delivery failed") || body.contains("HTTP error") {
        Some(AttemptClass::Unavailable)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::notify::sample;

    #[test]
    fn teams_is_told_all_facts() {
        insta::assert_json_snapshot!(body(&sample::firing(), &sample::every_note()));
        insta::assert_json_snapshot!(body(&sample::resolved(), &RenderContext::default()));
    }

    #[test]
    fn t30_no_string_of_a_user_becomes_a_link_or_a_mention() {
        let mut facts = sample::firing();
        facts.worst[0].label = "[free](https://evil.example) <at>everybody</at> **x**".to_owned();
        let text = body(&facts, &RenderContext::default()).to_string();
        assert!(
            !text.contains("<at>") && !text.contains("[free]("),
            "{text}"
        );
        assert!(!text.contains(" **x"), "{text}");
    }

    proptest! {
        #[test]
        fn t29_t30_whatever_the_facts_teams_accepts_the_card(facts in sample::arbitrary()) {
            let told = sample::every_note();
            for body in [body(&facts, &told), text_only(&facts, &told)] {
                let text = body.to_string();
                prop_assert!(text.len() <= 28_000, "{} bytes", text.len());
                prop_assert!(!text.contains(['<', '>']), "{text}");
                let card = &body["attachments"][0]["content"];
                for action in card["actions"].as_array().into_iter().flatten() {
                    prop_assert!(action["url"].as_str().unwrap().starts_with("http"));
                }
                for block in card["body"].as_array().unwrap() {
                    let is_text = block["type"] == "TextBlock";
                    prop_assert!(!is_text || block["text"] != "");
                }
            }
        }
    }
}

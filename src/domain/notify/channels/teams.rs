//! The body for a workflow of Microsoft Teams: an Adaptive Card 1.4 in a message.
//!
//! Teams accepts about 28 kB. Its texts support some Markdown, which user strings must not use.

use serde_json::{Value, json};

use crate::domain::{
    model::format,
    notify::{
        Notification, RenderContext,
        delivery::AttemptClass,
        message::{Detail, Line, LinePart, Message, MessageField, MessageStatus, Paragraph},
    },
    slo::Severity,
};

const MAX_BYTES: usize = 25_000;

pub fn body(notification: &Notification, context: &RenderContext) -> Value {
    Message::richest(notification, context, card, |message| {
        message.to_string().len() <= MAX_BYTES
    })
}

/// Makes the fallback if Teams rejects the card: the sentence alone.
pub fn text_only(notification: &Notification, context: &RenderContext) -> Value {
    let message = Message::new(notification, context, Detail::Sentence);
    message_of(&[title(&message, &message.as_text())], &[])
}

fn card(message: &Message) -> Value {
    let mut body = vec![title(message, &message.headline)];
    body.extend(
        message
            .sentences
            .iter()
            .map(|one| block(&marked(&one.value))),
    );
    body.extend(
        message
            .notes
            .iter()
            .map(|notes| block(&format!("{notes}."))),
    );
    if !message.fields.is_empty() {
        let facts: Vec<Value> = message.fields.iter().map(fact).collect();
        body.push(json!({ "type": "FactSet", "facts": facts }));
    }
    body.extend(
        message
            .image
            .as_ref()
            .map(|image| json!({ "type": "Image", "url": image.url, "altText": image.alt })),
    );
    body.extend(message.paragraphs.iter().map(|one| block(&paragraph(one))));
    body.push(json!({
        "type": "TextBlock", "text": escaped(&message.footer),
        "isSubtle": true, "size": "Small", "wrap": true,
    }));
    let links = message.links.iter();
    let actions: Vec<Value> = links
        .map(|link| json!({ "type": "Action.OpenUrl", "title": escaped(&link.title), "url": link.url }))
        .collect();
    message_of(&body, &actions)
}

/// Makes a message with one card.
fn message_of(body: &[Value], actions: &[Value]) -> Value {
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": body,
    });
    if let (false, Some(object)) = (actions.is_empty(), card.as_object_mut()) {
        object.insert("actions".to_owned(), json!(actions));
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

fn title(message: &Message, text: &str) -> Value {
    let colour = match (message.status, message.severity) {
        (MessageStatus::Firing, Some(Severity::Page)) => "Attention",
        (
            MessageStatus::Firing
            | MessageStatus::NoData
            | MessageStatus::Reminder
            | MessageStatus::HealthCheck
            | MessageStatus::Removed,
            _,
        ) => "Warning",
        (MessageStatus::Acknowledged, _) => "Accent",
        (MessageStatus::Resolved, _) => "Good",
        (MessageStatus::Digest | MessageStatus::Heartbeat | MessageStatus::Report, _) => "Default",
    };
    json!({
        "type": "TextBlock",
        "text": escaped(text),
        "weight": "Bolder",
        "size": "Medium",
        "color": colour,
        "wrap": true,
    })
}

fn fact(field: &MessageField) -> Value {
    json!({ "title": field.title, "value": marked(&field.value) })
}

fn paragraph(paragraph: &Paragraph) -> String {
    let lines: Vec<String> = paragraph.lines.iter().map(marked).collect();
    let lines = lines.join("\n\n");
    match paragraph.title.as_str() {
        "" => lines,
        title => format!("**{title}**\n\n{lines}"),
    }
}

fn marked(line: &Line) -> String {
    let text = line.iter().map(|part| match part {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => escaped(string),
        LinePart::Link(name, url) => link(name, url),
        LinePart::Time(at) => format::date_time(*at),
    });
    text.collect()
}

fn link(name: &str, url: &str) -> String {
    let url = url.replace('(', "%28").replace(')', "%29");
    format!("[{}]({url})", escaped(name))
}

fn block(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": text, "wrap": true })
}

/// Escapes Markdown, and the angle brackets that mentions are written in.
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

/// Classifies a body: Teams may answer 200 with the error of the service behind it as text.
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
        insta::assert_json_snapshot!(body(&sample::firing().into(), &sample::every_note()));
        insta::assert_json_snapshot!(body(&sample::resolved().into(), &RenderContext::default()));
    }

    #[test]
    fn t30_no_string_of_a_user_becomes_a_link_or_a_mention() {
        let mut facts = sample::firing();
        facts.worst[0].label = "[free](https://evil.example) <at>everybody</at> **x**".to_owned();
        let text = body(&facts.clone().into(), &RenderContext::default()).to_string();
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
            for body in [body(&facts.clone().into(), &told), text_only(&facts.clone().into(), &told)] {
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

//! The body for PagerDuty's Events API v2.
//!
//! The dedup key stays the same over all episodes, so that after a lost resolve the next episode's
//! resolve closes the incident.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::{
    model::text,
    notify::{
        Notification, RenderContext,
        delivery::{AttemptClass, rate_limit::RateLimit},
        message::{Detail, LinkKind, Message, MessageStatus, plain_text},
    },
    slo::Severity,
};

/// PagerDuty accepts 120 in any 60 s: 30 at once and 90 in the following 60 s.
pub const RATE_LIMIT: RateLimit = RateLimit {
    every: Duration::from_micros(666_667),
    burst: 30,
};
/// PagerDuty's own limit is 1024 characters.
const SUMMARY_CHARS: usize = 500;
const MAX_LABELS: usize = 20;

pub fn body(notification: &Notification, context: &RenderContext, routing_key: &str) -> Value {
    let message = Message::new(notification, context, Detail::Full);
    let mut body = json!({
        "routing_key": routing_key,
        // A trigger with an open key becomes an entry in that incident's log.
        "event_action": action(message.status),
        "dedup_key": message.identity.key,
        "payload": payload(&message),
        "links": links(&message),
    });
    let Some(object) = body.as_object_mut() else {
        return body;
    };
    // PagerDuty accepts images by https only.
    let image = message.image.as_ref();
    if let Some(image) = image.filter(|image| image.url.starts_with("https://")) {
        let images = json!([{ "src": image.url, "alt": image.alt }]);
        object.insert("images".to_owned(), images);
    }
    // Accepted only with a trigger.
    if action(message.status) == "trigger" {
        object.insert("client".to_owned(), json!("throughline"));
        if let Some(url) = message.link(LinkKind::Page) {
            object.insert("client_url".to_owned(), json!(url));
        }
    }
    body
}

const fn action(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Acknowledged => "acknowledge",
        MessageStatus::Resolved | MessageStatus::Removed => "resolve",
        MessageStatus::Firing
        | MessageStatus::NoData
        | MessageStatus::Reminder
        | MessageStatus::HealthCheck
        | MessageStatus::Digest
        | MessageStatus::Heartbeat
        | MessageStatus::Report => "trigger",
    }
}

fn payload(message: &Message) -> Value {
    let mut payload = json!({
        "summary": text::plain(&message.as_text(), SUMMARY_CHARS),
        "source": message.identity.source,
        "severity": match (message.is_test, message.severity) {
            (true, _) | (_, None) => "info",
            (false, Some(Severity::Page)) => "critical",
            (false, Some(Severity::Ticket)) => "warning",
        },
        "timestamp": message.at.to_rfc3339(),
        "class": message.identity.class,
        "custom_details": details(message),
    });
    if let (Some(service), Some(object)) = (&message.identity.service, payload.as_object_mut()) {
        object.insert("component".to_owned(), json!(service));
        // PagerDuty groups the alerts of one service.
        object.insert("group".to_owned(), json!(service));
    }
    payload
}

/// Makes the details that are shown below the summary: words, because people read them.
fn details(message: &Message) -> Value {
    let mut details = Map::new();
    let mut add = |name: &str, value: Value| details.insert(name.to_owned(), value);
    if let Some(notes) = &message.notes {
        add("notes", json!(notes));
    }
    for field in message.sentences.iter().chain(&message.fields) {
        add(field.key, json!(plain_text(&field.value)));
    }
    for paragraph in &message.paragraphs {
        let lines = paragraph.lines.iter().map(plain_text);
        add(paragraph.key, lines.collect());
    }
    let labels = message.identity.labels.iter().take(MAX_LABELS);
    let labels: Map<String, Value> = labels
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    if !labels.is_empty() {
        add("labels", Value::Object(labels));
    }
    details.extend(message.details.clone());
    Value::Object(details)
}

fn links(message: &Message) -> Value {
    let links = message.links.iter();
    links
        .map(|link| json!({ "href": link.url, "text": link.title }))
        .collect()
}

/// Returns `None` if the status alone shows what a response means.
pub fn class_of(status: u16, body: &str) -> Option<AttemptClass> {
    let names_key = status == 400 && body.to_lowercase().contains("routing key");
    names_key.then_some(AttemptClass::Misconfigured)
}

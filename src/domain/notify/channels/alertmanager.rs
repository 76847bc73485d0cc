//! Alerts in the form of Prometheus and Alertmanager: posted to an Alertmanager (API v2), or as an
//! Alertmanager sends them to webhooks (version 4).
//!
//! There, an alert is identified by its labels, so no label may change while it fires.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::{
    model::{format, text, time::Timestamp},
    notify::{
        Notification, RenderContext,
        message::{Detail, LinkKind, Message, MessageStatus, plain_text},
    },
};

/// The form of an unknown end (Go's zero time).
const NO_END: &str = "0001-01-01T00:00:00Z";
/// The size limit of all user labels together; a webhook of version 4 contains them twice and
/// should stay below 20 kB.
const LABELS_BYTES: usize = 4_000;
/// The size limit of all annotations together.
const ANNOTATIONS_BYTES: usize = 5_000;
const STRING_CHARS: usize = 200;

/// Makes one alert for `POST /api/v2/alerts`, in its state at `now`.
pub fn posted(notification: &Notification, context: &RenderContext, now: Timestamp) -> Value {
    let message = Message::new(notification, context, Detail::Full);
    let ends_at = match message.ended_at {
        // Alertmanager rejects an alert that ends before it begins.
        Some(ended_at) => ended_at.max(message.started_at + Duration::from_millis(1)),
        None => now + message.valid_for,
    };
    let mut alert = json!({
        "labels": labels(&message),
        "annotations": annotations(notification, context),
        "startsAt": message.started_at.to_rfc3339(),
        "endsAt": ends_at.to_rfc3339(),
    });
    if let (Some(url), Some(object)) = (message.link(LinkKind::Page), alert.as_object_mut()) {
        object.insert("generatorURL".to_owned(), json!(url));
    }
    alert
}

/// Makes the body that an Alertmanager would send to the webhook `receiver`.
pub fn webhook_v4(notification: &Notification, context: &RenderContext, receiver: &str) -> Value {
    let message = Message::new(notification, context, Detail::Full);
    let (labels, annotations) = (labels(&message), annotations(notification, context));
    let (status, ends_at) = match message.ended_at {
        None => ("firing", NO_END.to_owned()),
        Some(ended_at) => ("resolved", ended_at.to_rfc3339()),
    };
    let name = &message.identity.alert_name;
    let page = message.link(LinkKind::Page).unwrap_or_default();
    let alert = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": message.started_at.to_rfc3339(),
        "endsAt": ends_at,
        "generatorURL": page,
        "fingerprint": fingerprint(&labels),
    });
    json!({
        "receiver": receiver,
        "status": status,
        "alerts": [alert],
        "groupLabels": { "alertname": name },
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": page,
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{name}\"}}"),
        "truncatedAlerts": 0,
    })
}

/// Adds our labels last, so that a user's label cannot replace one that is used for routing.
fn labels(message: &Message) -> Map<String, Value> {
    let mut labels = Map::new();
    let mut room = LABELS_BYTES;
    for (key, value) in &message.identity.labels {
        let name = text::label_name(&text::plain(key, STRING_CHARS));
        let Some(left) = room.checked_sub(name.len() + 2 * value.len()) else {
            break;
        };
        room = left;
        // In Alertmanager, an empty value is the same as no label.
        if !value.trim().is_empty() {
            labels.entry(name).or_insert(json!(value));
        }
    }
    for (name, value) in &message.identity.own_labels {
        if !value.trim().is_empty() {
            labels.insert((*name).to_owned(), json!(value));
        }
    }
    let name = json!(message.identity.alert_name);
    labels.insert("alertname".to_owned(), name);
    labels.insert("severity".to_owned(), json!(severity(message)));
    labels
}

/// Returns the label `severity`: `info` for a notification that pages no one, such as a test;
/// `none` for an alert that always fires.
const fn severity(message: &Message) -> &'static str {
    match (message.is_test, message.severity, message.status) {
        (false, Some(severity), _) => severity.as_str(),
        (_, _, MessageStatus::Heartbeat) => "none",
        _ => "info",
    }
}

fn annotations(notification: &Notification, context: &RenderContext) -> Value {
    Message::richest(notification, context, annotated, |annotations| {
        annotations.to_string().len() <= ANNOTATIONS_BYTES
    })
}

fn annotated(message: &Message) -> Value {
    let mut annotations = Map::new();
    let mut add = |name: &str, value: String| annotations.insert(name.to_owned(), json!(value));
    add("summary", message.headline.clone());
    for field in message.sentences.iter().chain(&message.fields) {
        add(field.key, plain_text(&field.value));
    }
    for paragraph in &message.paragraphs {
        let lines: Vec<String> = paragraph.lines.iter().map(plain_text).collect();
        let between = if paragraph.title.is_empty() {
            "\n"
        } else {
            "; "
        };
        add(paragraph.key, lines.join(between));
    }
    for (name, value) in &message.details {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        add(name, text);
    }
    if let Some(notes) = &message.notes {
        add("notes", notes.clone());
    }
    if let Some(url) = message.link(LinkKind::Runbook) {
        add("runbook_url", url.to_owned());
    }
    Value::Object(annotations)
}

/// Returns 16 hexadecimal digits that depend only on the labels.
fn fingerprint(labels: &Map<String, Value>) -> String {
    let mut sorted: Vec<_> = labels.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, value) in sorted {
        hash.update(name.as_bytes());
        hash.update([0xff]);
        hash.update(value.to_string().as_bytes());
        hash.update([0xff]);
    }
    format::fingerprint(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::domain::{alerting::snapshot::AlertSnapshot, notify::sample};

    /// Sent by a real Alertmanager 0.25.0 to a webhook.
    const CAPTURED: &str = r#"{"receiver":"r","status":"firing","alerts":[{"status":"firing",
        "labels":{"alertname":"SloBurn","slo":"checkout"},"annotations":{"summary":"x"},
        "startsAt":"2026-11-22T06:18:28Z","endsAt":"0001-01-01T00:00:00Z",
        "generatorURL":"http://ex/y","fingerprint":"3b2d5d8d3e432541"}],
        "groupLabels":{"alertname":"SloBurn"},
        "commonLabels":{"alertname":"SloBurn","slo":"checkout"},
        "commonAnnotations":{"summary":"x"},"externalURL":"http://vm:19093","version":"4",
        "groupKey":"{}:{alertname=\"SloBurn\"}","truncatedAlerts":0}"#;

    fn labels_of(alert: &AlertSnapshot) -> Value {
        let alert = alert.clone().into();
        let now = Timestamp::from_secs(1_795_331_000);
        posted(&alert, &RenderContext::default(), now)["labels"].clone()
    }

    fn shape(value: &Value) -> Vec<(String, std::mem::Discriminant<Value>)> {
        let members = value.as_object().unwrap().iter();
        members
            .map(|(key, value)| (key.clone(), std::mem::discriminant(value)))
            .collect()
    }

    #[test]
    fn a_webhook_of_version_4_has_the_keys_and_types_of_a_real_one() {
        let captured: Value = serde_json::from_str(CAPTURED).unwrap();
        for facts in [sample::firing(), sample::resolved()] {
            let ours = webhook_v4(&facts.clone().into(), &RenderContext::default(), "hook");
            assert_eq!(shape(&ours), shape(&captured));
            assert_eq!(shape(&ours["alerts"][0]), shape(&captured["alerts"][0]));
            let fingerprint = ours["alerts"][0]["fingerprint"].as_str().unwrap();
            assert_eq!(fingerprint.len(), 16);
        }
        insta::assert_json_snapshot!(webhook_v4(
            &sample::resolved().into(),
            &RenderContext::default(),
            "hook"
        ));
    }

    #[test]
    fn an_alert_keeps_its_identity_and_its_beginning_from_firing_to_resolved() {
        let now = Timestamp::from_secs(1_795_331_000);
        let (firing, resolved) = (sample::firing(), sample::resolved());
        let [first, last] = [&firing, &resolved]
            .map(|facts| posted(&facts.clone().into(), &RenderContext::default(), now));
        assert_eq!(first["labels"], last["labels"]);
        assert_eq!(first["startsAt"], last["startsAt"]);
        assert_eq!(
            first["endsAt"],
            (now + Duration::from_hours(1)).to_rfc3339()
        );
        assert_eq!(last["endsAt"], "2026-11-22T06:56:29.000Z");
        insta::assert_json_snapshot!(first);
    }

    #[test]
    fn names_that_an_alertmanager_refuses_are_mapped_and_take_no_place_of_ours() {
        let mut facts = sample::firing();
        for (key, value) in [
            ("service.name", "shop"),
            ("1st", "x"),
            ("alertname", "fake"),
            ("severity", "none"),
            ("empty", ""),
        ] {
            facts.labels.insert(key.to_owned(), value.to_owned());
        }
        let labels = labels_of(&facts);
        assert_eq!(labels["service_name"], "shop");
        assert_eq!(labels["_1st"], "x");
        assert_eq!(labels["alertname"], "checkout-speed");
        assert_eq!(labels["severity"], "page");
        assert_eq!(labels.get("empty"), None);
    }

    #[test]
    fn groups_of_one_slo_are_different_alerts() {
        let labels_of_group = |value: &str| {
            let mut facts = sample::of_group();
            let group = facts.group.as_mut().unwrap();
            group.values = Some(vec![Some(value.to_owned()), None]);
            labels_of(&facts)
        };
        let long = "x".repeat(300);
        assert_ne!(
            labels_of_group(&format!("{long}1")),
            labels_of_group(&format!("{long}2"))
        );
        assert_eq!(labels_of_group("rollback"), labels_of_group("rollback"));
    }

    proptest! {
        #[test]
        fn t29_whatever_the_facts_an_alertmanager_accepts_them(facts in sample::arbitrary()) {
            let name = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_]*$").unwrap();
            let alert = posted(&facts.clone().into(), &sample::every_note(), facts.evaluated_at);
            for (key, value) in alert["labels"].as_object().unwrap() {
                prop_assert!(name.is_match(key), "{key}");
                prop_assert!(!value.as_str().unwrap().trim().is_empty());
            }
            for (key, value) in alert["annotations"].as_object().unwrap() {
                prop_assert!(name.is_match(key) && value.is_string(), "{key}");
            }
            prop_assert!(alert["startsAt"].as_str() < alert["endsAt"].as_str());
            let length = webhook_v4(&facts.clone().into(), &sample::every_note(), "hook").to_string().len();
            prop_assert!(length < 20_000, "{length} bytes");
        }
    }
}

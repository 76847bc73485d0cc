//! Alerts as Prometheus and Alertmanager know them: posted to an Alertmanager (API v2), or in the
//! form in which an Alertmanager tells its own webhooks (version 4).
//!
//! Labels are the identity of an alert there, so nothing that changes stands in them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    PLATFORM_KEY_CHARS,
    lines::{Line, LinePart, paragraphs},
};
use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::{text, time::Timestamp},
    notify::{
        Detail, PlatformNotification, PlatformNotificationKind, RenderContext, delivery::alert_key,
        wording,
    },
};

const ALERT_NAME: &str = "ThroughlineSLO";
/// An Alertmanager that hears nothing takes an alert for over after this.
const FIRING_FOR: Duration = Duration::from_hours(1);
/// How an end that is not known is written (Go's zero time).
const NO_END: &str = "0001-01-01T00:00:00Z";
/// All labels of a user's together; a webhook of version 4 has them twice and should stay below
/// 20 kB.
const LABELS_BYTES: usize = 4_000;
/// Of annotations likewise.
const ANNOTATIONS_BYTES: usize = 5_000;
const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 1_000;

/// One alert for `POST /api/v2/alerts`, as it is at `now`.
pub fn posted(facts: &AlertSnapshot, context: &RenderContext, now: Timestamp) -> Value {
    let starts_at = started_at(facts);
    let ends_at = if facts.kind.lasts() {
        now + FIRING_FOR
    } else {
        // An alert that ends before it began is refused.
        ended_at(facts).max(starts_at + Duration::from_millis(1))
    };
    let mut alert = json!({
        "labels": labels(facts),
        "annotations": annotations(facts, context),
        "startsAt": starts_at.to_rfc3339(),
        "endsAt": ends_at.to_rfc3339(),
    });
    if let (Some(url), Some(object)) = (page(facts), alert.as_object_mut()) {
        object.insert("generatorURL".to_owned(), json!(url));
    }
    alert
}

/// What an Alertmanager would tell a webhook `receiver`.
pub fn webhook_v4(facts: &AlertSnapshot, context: &RenderContext, receiver: &str) -> Value {
    let (labels, annotations) = (labels(facts), annotations(facts, context));
    let (status, ends_at) = if facts.kind.lasts() {
        ("firing", NO_END.to_owned())
    } else {
        ("resolved", ended_at(facts).to_rfc3339())
    };
    let group = json!({ "alertname": ALERT_NAME, "slo": facts.slo });
    let alert = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": started_at(facts).to_rfc3339(),
        "endsAt": ends_at,
        "generatorURL": page(facts).unwrap_or_default(),
        "fingerprint": fingerprint(&labels),
    });
    json!({
        "receiver": receiver,
        "status": status,
        "alerts": [alert],
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": page(facts).unwrap_or_default(),
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{ALERT_NAME}\", slo=\"{}\"}}", facts.slo),
        "truncatedAlerts": 0,
    })
}

/// Ours last, so that no label of a user's takes the place of one that others route by.
fn labels(facts: &AlertSnapshot) -> Map<String, Value> {
    let mut labels = Map::new();
    let mut room = LABELS_BYTES;
    for (key, value) in &facts.labels {
        let (name, value) = (label_name(key), text::plain(value, STRING_CHARS));
        let Some(left) = room.checked_sub(name.len() + 2 * value.len()) else {
            break;
        };
        room = left;
        // An empty value means no label at all.
        if !value.trim().is_empty() {
            labels.entry(name).or_insert(json!(value));
        }
    }
    let service = text::plain(facts.service.as_deref().unwrap_or_default(), STRING_CHARS);
    if !service.trim().is_empty() {
        labels.insert("service".to_owned(), json!(service));
    }
    if let Some(group) = &facts.group {
        let values = text::plain(&group.text(), STRING_CHARS);
        labels.insert("group".to_owned(), json!(values));
        // Of groups with long values the beginnings may be the same.
        let key = alert_key(&facts.slo, Some(group), facts.severity);
        labels.insert("alert_key".to_owned(), json!(key));
    }
    labels.insert("alertname".to_owned(), json!(ALERT_NAME));
    labels.insert("slo".to_owned(), json!(facts.slo));
    // A test takes the way of what nobody is woken by.
    let severity = if facts.is_test {
        json!("info")
    } else {
        json!(facts.severity)
    };
    labels.insert("severity".to_owned(), severity);
    labels
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: others are understood by newer releases only.
fn label_name(key: &str) -> String {
    let mut name: String = text::plain(key, STRING_CHARS)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

fn annotations(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    Detail::richest(
        |detail| Value::Object(annotated(facts, context, detail)),
        |annotations| annotations.to_string().len() <= ANNOTATIONS_BYTES,
    )
}

fn annotated(facts: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Map<String, Value> {
    let mut annotations = Map::new();
    let mut add = |name: &str, value: String| annotations.insert(name.to_owned(), json!(value));
    add("summary", wording::headline(facts));
    let window = facts.long.text();
    add(
        "description",
        format!(
            "{} in {window}. Promise: {}.",
            wording::share(facts),
            wording::promise(facts)
        ),
    );
    if let Some(development) = wording::development(facts) {
        add("update", development);
    }
    add("budget_remaining", wording::budget_left(facts));
    add("budget_forecast", wording::pace(facts));
    add(wording::burn_key(facts), wording::burn(facts));
    let told = [
        ("since", wording::since(facts)),
        ("data", wording::data(facts)),
        ("trend", wording::trend(facts)),
    ];
    for (name, text) in told {
        if let Some(text) = text {
            add(name, text);
        }
    }
    for paragraph in paragraphs(facts, detail) {
        let lines: Vec<String> = paragraph.lines.iter().map(line).collect();
        add(paragraph.key, lines.join("; "));
    }
    add("rule", facts.rule.to_string());
    add("incident", facts.episode.to_string());
    if let Some(customers) = facts.customers_affected {
        add("customers_affected", customers.to_string());
    }
    if let Some(notes) = wording::notes(context) {
        add("notes", notes);
    }
    let runbook = facts.runbook.as_deref();
    if let Some(url) = runbook.and_then(|url| text::web_address(url, URL_BYTES)) {
        add("runbook_url", url.to_owned());
    }
    annotations
}

fn line(pieces: &Line<'_>) -> String {
    let text = pieces.iter().map(|piece| match piece {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => text::plain(string, STRING_CHARS),
        LinePart::Link(_, url) => text::web_address(url, URL_BYTES)
            .unwrap_or_default()
            .to_owned(),
    });
    text.collect()
}

fn page(facts: &AlertSnapshot) -> Option<&str> {
    text::web_address(facts.page_url.as_deref()?, URL_BYTES)
}

fn started_at(facts: &AlertSnapshot) -> Timestamp {
    let episode = facts.episode_summary.as_ref();
    let fired_at = episode.map(|episode| episode.fired_at).or(facts.fired_at);
    fired_at.unwrap_or(facts.evaluated_at)
}

fn ended_at(facts: &AlertSnapshot) -> Timestamp {
    let episode = facts.episode_summary.as_ref();
    episode.map_or(facts.evaluated_at, |episode| episode.resolved_at)
}

/// 16 hexadecimal digits that are the same for the same labels.
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
    let start = hash
        .finalize()
        .iter()
        .take(8)
        .fold(0, |start: u64, byte| start << 8 | u64::from(*byte));
    format!("{start:016x}")
}

/// A heartbeat that does not come again is over after so long, as Prometheus has it: four of its
/// intervals.
const SILENT_AFTER: Duration = Duration::from_mins(4);

/// A webhook of version 4 has them twice.
const PLATFORM_ANNOTATION_CHARS: usize = 1_200;

/// One alert for `POST /api/v2/alerts`, as it is at `now`.
pub fn platform_posted(
    notification: &PlatformNotification,
    context: &RenderContext,
    now: Timestamp,
) -> Value {
    let ends_at = match notification.kind {
        // An alert that ends before it began is refused.
        PlatformNotificationKind::SelfCheckResolved => notification
            .at
            .max(notification.since + Duration::from_millis(1)),
        PlatformNotificationKind::Heartbeat => now + SILENT_AFTER,
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::Digest => {
            now + FIRING_FOR
        }
    };
    let mut alert = json!({
        "labels": platform_labels(notification),
        "annotations": platform_annotations(notification, context),
        "startsAt": notification.since.to_rfc3339(),
        "endsAt": ends_at.to_rfc3339(),
    });
    let page = notification.links().next();
    if let (Some((_, url)), Some(object)) = (page, alert.as_object_mut()) {
        object.insert("generatorURL".to_owned(), json!(url));
    }
    alert
}

/// What an Alertmanager would tell a webhook `receiver`.
pub fn platform_webhook_v4(
    notification: &PlatformNotification,
    context: &RenderContext,
    receiver: &str,
) -> Value {
    let (status, ends_at) = if notification.kind.is_end() {
        ("resolved", notification.at.to_rfc3339())
    } else {
        ("firing", NO_END.to_owned())
    };
    let (labels, annotations) = (
        platform_labels(notification),
        platform_annotations(notification, context),
    );
    let page = notification.links().next().map_or("", |(_, url)| url);
    let name = platform_name(notification.kind);
    let alert = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": notification.since.to_rfc3339(),
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

/// What those who know Prometheus look for: `Watchdog` is the alert that always fires.
const fn platform_name(kind: PlatformNotificationKind) -> &'static str {
    match kind {
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::SelfCheckResolved => {
            "ThroughlineSelfCheck"
        }
        PlatformNotificationKind::Digest => "ThroughlineDigest",
        PlatformNotificationKind::Heartbeat => "Watchdog",
    }
}

/// The identity of an alert there: nothing that changes.
fn platform_labels(notification: &PlatformNotification) -> Map<String, Value> {
    let severity = match notification.kind {
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::SelfCheckResolved => {
            json!(notification.severity)
        }
        PlatformNotificationKind::Digest => json!("info"),
        PlatformNotificationKind::Heartbeat => json!("none"),
    };
    let labels = [
        ("alertname", json!(platform_name(notification.kind))),
        (
            "key",
            json!(text::plain(&notification.key, PLATFORM_KEY_CHARS)),
        ),
        ("severity", severity),
    ];
    labels
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn platform_annotations(
    notification: &PlatformNotification,
    context: &RenderContext,
) -> Map<String, Value> {
    let lines = notification.text_lines(context, PLATFORM_ANNOTATION_CHARS, str::to_owned);
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), json!(notification.headline()));
    if !lines.is_empty() {
        annotations.insert("description".to_owned(), json!(lines.join("\n")));
    }
    annotations
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::domain::notify::sample;

    /// What a real Alertmanager 0.25.0 told a webhook.
    const CAPTURED: &str = r#"{"receiver":"r","status":"firing","alerts":[{"status":"firing",
        "labels":{"alertname":"SloBurn","slo":"checkout"},"annotations":{"summary":"x"},
        "startsAt":"2026-11-22T06:18:28Z","endsAt":"0001-01-01T00:00:00Z",
        "generatorURL":"http://ex/y","fingerprint":"3b2d5d8d3e432541"}],
        "groupLabels":{"alertname":"SloBurn"},
        "commonLabels":{"alertname":"SloBurn","slo":"checkout"},
        "commonAnnotations":{"summary":"x"},"externalURL":"http://vm:19093","version":"4",
        "groupKey":"{}:{alertname=\"SloBurn\"}","truncatedAlerts":0}"#;

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
            let ours = webhook_v4(&facts, &RenderContext::default(), "hook");
            assert_eq!(shape(&ours), shape(&captured));
            assert_eq!(shape(&ours["alerts"][0]), shape(&captured["alerts"][0]));
            let fingerprint = ours["alerts"][0]["fingerprint"].as_str().unwrap();
            assert_eq!(fingerprint.len(), 16);
        }
        insta::assert_json_snapshot!(webhook_v4(
            &sample::resolved(),
            &RenderContext::default(),
            "hook"
        ));
    }

    #[test]
    fn an_alert_keeps_its_identity_and_its_beginning_from_firing_to_resolved() {
        let now = Timestamp::from_secs(1_795_331_000);
        let (firing, resolved) = (sample::firing(), sample::resolved());
        let [first, last] =
            [&firing, &resolved].map(|facts| posted(facts, &RenderContext::default(), now));
        assert_eq!(first["labels"], last["labels"]);
        assert_eq!(first["startsAt"], last["startsAt"]);
        assert_eq!(first["endsAt"], (now + FIRING_FOR).to_rfc3339());
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
        let labels = labels(&facts);
        assert_eq!(labels["service_name"], "shop");
        assert_eq!(labels["_1st"], "x");
        assert_eq!(labels["alertname"], ALERT_NAME);
        assert_eq!(labels["severity"], "page");
        assert!(!labels.contains_key("empty"));
    }

    #[test]
    fn groups_of_one_slo_are_different_alerts() {
        let labels_of = |value: &str| {
            let mut facts = sample::of_group();
            let group = facts.group.as_mut().unwrap();
            group.values = Some(vec![Some(value.to_owned()), None]);
            labels(&facts)
        };
        let long = "x".repeat(300);
        assert_ne!(
            labels_of(&format!("{long}1")),
            labels_of(&format!("{long}2"))
        );
        assert_eq!(labels_of("rollback"), labels_of("rollback"));
    }

    proptest! {
        #[test]
        fn t29_whatever_the_facts_an_alertmanager_accepts_them(facts in sample::arbitrary()) {
            let name = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_]*$").unwrap();
            let alert = posted(&facts, &sample::every_note(), facts.evaluated_at);
            for (key, value) in alert["labels"].as_object().unwrap() {
                prop_assert!(name.is_match(key), "{key}");
                prop_assert!(!value.as_str().unwrap().trim().is_empty());
            }
            for (key, value) in alert["annotations"].as_object().unwrap() {
                prop_assert!(name.is_match(key) && value.is_string(), "{key}");
            }
            prop_assert!(alert["startsAt"].as_str() < alert["endsAt"].as_str());
            let length = webhook_v4(&facts, &sample::every_note(), "hook").to_string().len();
            prop_assert!(length < 20_000, "{length} bytes");
        }
    }
}

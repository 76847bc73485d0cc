//! Notices for programs: PagerDuty, Alertmanager and webhooks of every format.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{PlatformNotification, PlatformNotificationKind};
use crate::domain::{
    model::{text, time::Timestamp},
    notify::{RenderContext, channels::alertmanager as alerts},
    slo::Severity,
};

/// A heartbeat that does not come again is over after so long, as Prometheus has it: four of its
/// intervals.
const SILENT_AFTER: Duration = Duration::from_mins(4);
/// A webhook's body should stay below 20 kB, however many bytes a character has.
const DETAILS_CHARS: usize = 3_000;
/// A webhook of version 4 has them twice.
const ANNOTATION_CHARS: usize = 1_200;
const KEY_CHARS: usize = 200;

pub fn webhook(notice: &PlatformNotification, telling: &RenderContext) -> Value {
    json!({
        "type": notice.kind.message_type(),
        "timestamp": notice.at,
        "data": {
            "key": text::plain(&notice.key, KEY_CHARS),
            "incident": notice.episode,
            "severity": notice.severity,
            "summary": notice.headline(),
            "lines": notice.told(telling, DETAILS_CHARS, str::to_owned),
            "links": links(notice, "url", "title"),
            "since": notice.since,
            "at": notice.at,
        },
    })
}

/// `id` and the source are the same over all tries.
pub fn cloudevent(notice: &PlatformNotification, telling: &RenderContext, id: &str) -> Value {
    let message = webhook(notice, telling);
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/throughline",
        "type": message.get("type"),
        "subject": text::plain(&notice.key, KEY_CHARS),
        "time": message.get("timestamp"),
        "datacontenttype": "application/json",
        "data": message.get("data"),
    })
}

pub fn pagerduty(
    notice: &PlatformNotification,
    telling: &RenderContext,
    routing_key: &str,
) -> Value {
    let severity = match (notice.kind, notice.severity) {
        (PlatformNotificationKind::Digest | PlatformNotificationKind::Heartbeat, _) => "info",
        (_, Severity::Page) => "critical",
        (_, Severity::Ticket) => "warning",
    };
    let action = if notice.kind.is_end() {
        "resolve"
    } else {
        "trigger"
    };
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": text::plain(&notice.key, KEY_CHARS),
        "payload": {
            "summary": notice.headline(),
            "source": "throughline",
            "severity": severity,
            "timestamp": notice.at.to_rfc3339(),
            "class": "throughline-platform",
            "custom_details": {
                "details": notice.told(telling, DETAILS_CHARS, str::to_owned),
                "since": notice.since,
                "incident": notice.episode,
            },
        },
        "links": links(notice, "href", "text"),
    });
    if let (false, Some(object)) = (notice.kind.is_end(), body.as_object_mut()) {
        object.insert("client".to_owned(), json!("throughline"));
    }
    body
}

/// One alert for `POST /api/v2/alerts`, as it stands at `now`.
pub fn posted(notice: &PlatformNotification, telling: &RenderContext, now: Timestamp) -> Value {
    let ends_at = match notice.kind {
        // An alert that ends before it began is refused.
        PlatformNotificationKind::SelfCheckResolved => {
            notice.at.max(notice.since + Duration::from_millis(1))
        }
        PlatformNotificationKind::Heartbeat => now + SILENT_AFTER,
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::Digest => {
            now + alerts::FIRING_FOR
        }
    };
    let mut alert = json!({
        "labels": labels(notice),
        "annotations": annotations(notice, telling),
        "startsAt": notice.since.to_rfc3339(),
        "endsAt": ends_at.to_rfc3339(),
    });
    let page = notice.links().next();
    if let (Some((_, url)), Some(object)) = (page, alert.as_object_mut()) {
        object.insert("generatorURL".to_owned(), json!(url));
    }
    alert
}

/// What an Alertmanager would tell a webhook `receiver`.
pub fn webhook_v4(notice: &PlatformNotification, telling: &RenderContext, receiver: &str) -> Value {
    let (status, ends_at) = if notice.kind.is_end() {
        ("resolved", notice.at.to_rfc3339())
    } else {
        ("firing", alerts::NO_END.to_owned())
    };
    let (labels, annotations) = (labels(notice), annotations(notice, telling));
    let page = notice.links().next().map_or("", |(_, url)| url);
    let name = alert_name(notice.kind);
    let alert = json!({
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": notice.since.to_rfc3339(),
        "endsAt": ends_at,
        "generatorURL": page,
        "fingerprint": alerts::fingerprint(&labels),
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
const fn alert_name(kind: PlatformNotificationKind) -> &'static str {
    match kind {
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::SelfCheckResolved => {
            "ThroughlineSelfCheck"
        }
        PlatformNotificationKind::Digest => "ThroughlineDigest",
        PlatformNotificationKind::Heartbeat => "Watchdog",
    }
}

/// The identity of an alert there: nothing that changes.
fn labels(notice: &PlatformNotification) -> Map<String, Value> {
    let severity = match notice.kind {
        PlatformNotificationKind::SelfCheckOpened | PlatformNotificationKind::SelfCheckResolved => {
            json!(notice.severity)
        }
        PlatformNotificationKind::Digest => json!("info"),
        PlatformNotificationKind::Heartbeat => json!("none"),
    };
    let labels = [
        ("alertname", json!(alert_name(notice.kind))),
        ("key", json!(text::plain(&notice.key, KEY_CHARS))),
        ("severity", severity),
    ];
    labels
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn annotations(notice: &PlatformNotification, telling: &RenderContext) -> Map<String, Value> {
    let lines = notice.told(telling, ANNOTATION_CHARS, str::to_owned);
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), json!(notice.headline()));
    if !lines.is_empty() {
        annotations.insert("description".to_owned(), json!(lines.join("\n")));
    }
    annotations
}

fn links(notice: &PlatformNotification, address: &str, title: &str) -> Value {
    let link = |(text, url): (String, &str)| json!({ address: url, title: text });
    Value::Array(notice.links().map(link).collect())
}

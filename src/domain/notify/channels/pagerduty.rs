//! The body for PagerDuty's Events API v2.
//!
//! The key that PagerDuty knows the alert by stays the same over all episodes, so that a resolve that
//! got lost heals with the next one.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    PLATFORM_CHARS, PLATFORM_KEY_CHARS,
    lines::{Line, LinePart, paragraphs},
    platform_links,
};
use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::text,
    notify::{
        Detail, PlatformNotification, PlatformNotificationKind, RenderContext,
        delivery::{AttemptClass, alert_key, rate_limit::RateLimit},
        wording,
    },
    slo::Severity,
};

/// PagerDuty takes 120 in any 60 s: 30 at once and 90 in the 60 s after them.
pub const RATE_LIMIT: RateLimit = RateLimit {
    every: Duration::from_micros(666_667),
    burst: 30,
};
/// PagerDuty's own limit is 1024 characters.
const SUMMARY_CHARS: usize = 500;
const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 2_000;
const MAX_LABELS: usize = 20;

pub fn body(facts: &AlertSnapshot, context: &RenderContext, routing_key: &str) -> Value {
    let mut body = json!({
        "routing_key": routing_key,
        // A trigger on a key that is open becomes an entry in that incident's log.
        "event_action": match facts.kind {
            TransitionKind::Resolved => "resolve",
            TransitionKind::Acknowledged => "acknowledge",
            TransitionKind::Firing
            | TransitionKind::Updated
            | TransitionKind::DataStopped
            | TransitionKind::DataResumed
            | TransitionKind::Unmuted
            | TransitionKind::Reminded => "trigger",
        },
        "dedup_key": alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
        "payload": payload(facts, context),
        "links": links(facts, context),
    });
    if let (Some(images), Some(object)) = (images(facts, context), body.as_object_mut()) {
        object.insert("images".to_owned(), images);
    }
    let page = facts.page_url.as_deref();
    // Taken only with a trigger.
    let is_trigger = facts.kind.lasts() && facts.kind != TransitionKind::Acknowledged;
    if let (true, Some(object)) = (is_trigger, body.as_object_mut()) {
        object.insert("client".to_owned(), json!("throughline"));
        if let Some(url) = page.and_then(|url| text::web_address(url, URL_BYTES)) {
            object.insert("client_url".to_owned(), json!(url));
        }
    }
    body
}

fn payload(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let notes = wording::notes(context);
    let slowest = facts.slowest_stage.as_ref().filter(|_| facts.kind.lasts());
    let place = slowest.map_or_else(String::new, |slowest| {
        let title = text::plain(&slowest.title, STRING_CHARS);
        format!(". Slowest stage: {title}")
    });
    let summary = format!(
        "{}. Promise: {}{place}{}",
        wording::headline(facts),
        wording::promise(facts),
        notes.map_or_else(String::new, |notes| format!(". {notes}")),
    );
    let mut payload = json!({
        "summary": text::plain(&summary, SUMMARY_CHARS),
        "source": format!("slo:{}", facts.slo),
        "severity": match (facts.is_test, facts.severity) {
            (true, _) => "info",
            (false, Severity::Page) => "critical",
            (false, Severity::Ticket) => "warning",
        },
        "timestamp": facts.evaluated_at.to_rfc3339(),
        "class": match facts.limit {
            Some(_) => "slo-threshold",
            None => "slo-burn-rate",
        },
        "custom_details": details(facts, context),
    });
    if let (Some(service), Some(object)) = (&facts.service, payload.as_object_mut()) {
        let service = json!(text::plain(service, STRING_CHARS));
        object.insert("component".to_owned(), service.clone());
        // Alerts of one service are one trouble to PagerDuty's grouping.
        object.insert("group".to_owned(), service);
    }
    payload
}

/// What the phone shows below the summary: words, because people read it.
fn details(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let mut details = Map::new();
    let mut add = |name: &str, value: Value| details.insert(name.to_owned(), value);
    if let (TransitionKind::Resolved, Some(episode)) = (facts.kind, &facts.episode_summary) {
        add("ended_by", json!(episode.ended_by));
        add("incident_summary", json!(wording::cost(facts, episode)));
    }
    if let Some(notes) = wording::notes(context) {
        add("notes", json!(notes));
    }
    if let Some(development) = wording::development(facts) {
        add("update", json!(development));
    }
    if let Some(by) = wording::acknowledged_by(facts) {
        add("acknowledged_by", json!(text::plain(by, STRING_CHARS)));
    }
    if let Some(group) = &facts.group {
        add("group", json!(text::plain(&group.text(), STRING_CHARS)));
    }
    if let Some(customers) = facts.customers_affected {
        add("customers_affected", json!(customers));
    }
    if let Some(total) = &facts.customers_total {
        add("customers_total", json!(total.text()));
    }
    let window = facts.long.text();
    add(
        "bad",
        json!(format!("{} in {window}", wording::share(facts))),
    );
    add("reasons", json!(wording::reasons(facts.long.counts)));
    add("objective", json!(wording::promise(facts)));
    add("budget_remaining", json!(wording::budget_left(facts)));
    add("budget_forecast", json!(wording::pace(facts)));
    add(wording::burn_key(facts), json!(wording::burn(facts)));
    if let Some(since) = wording::since(facts) {
        add("since", json!(since));
    }
    if let Some(data) = wording::data(facts) {
        add("data", json!(data));
    }
    if let Some(trend) = wording::trend(facts) {
        add("trend", json!(trend));
    }
    if let Some(slowest) = &facts.slowest_stage {
        let title = text::plain(&slowest.title, STRING_CHARS);
        let extra = wording::extra_time(slowest);
        add("slowest_stage", json!(format!("{title}, {extra}")));
    }
    for paragraph in paragraphs(facts, Detail::Full) {
        add(paragraph.key, paragraph.lines.iter().map(line).collect());
    }
    add("labels", labels(facts));
    add("rule", json!(facts.rule));
    add("incident", json!(facts.episode));
    add("notification", json!(facts.version));
    Value::Object(details)
}

fn line(pieces: &Line<'_>) -> Value {
    let text = pieces.iter().map(|piece| match piece {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => text::plain(string, STRING_CHARS),
        LinePart::Link(name, url) => text::web_address(url, URL_BYTES)
            .map_or_else(String::new, |url| {
                format!("{}: {url}", text::plain(name, STRING_CHARS))
            }),
    });
    Value::String(text.collect())
}

fn labels(facts: &AlertSnapshot) -> Value {
    let shown = facts.labels.iter().take(MAX_LABELS).map(|(key, value)| {
        (
            text::plain(key, STRING_CHARS),
            json!(text::plain(value, STRING_CHARS)),
        )
    });
    Value::Object(shown.collect())
}

/// PagerDuty takes them by https only.
fn images(facts: &AlertSnapshot, context: &RenderContext) -> Option<Value> {
    let url = context.chart.as_deref()?;
    let url = text::web_address(url, URL_BYTES).filter(|url| url.starts_with("https://"))?;
    Some(json!([{ "src": url, "alt": wording::chart(facts) }]))
}

fn links(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let link = |(title, url): (&str, &str)| {
        let url = text::web_address(url, URL_BYTES)?;
        Some(json!({ "href": url, "text": title }))
    };
    let open = facts.page_url.as_deref().map(|url| ("Open the SLO", url));
    let runbook = facts.runbook.as_deref().map(|url| ("Runbook", url));
    let traces = facts.worst.iter().take(1).flat_map(|worst| &worst.links);
    let traces = traces.filter_map(|trace| {
        let viewer = text::plain(&trace.name, STRING_CHARS);
        link((&format!("Worst trace, {viewer}"), &trace.url))
    });
    let ours = open.into_iter().chain(runbook);
    let ours = ours.chain(context.actions.named()).filter_map(link);
    Value::Array(ours.chain(traces).collect())
}

pub fn platform_body(
    notification: &PlatformNotification,
    context: &RenderContext,
    routing_key: &str,
) -> Value {
    let severity = match (notification.kind, notification.severity) {
        (PlatformNotificationKind::Digest | PlatformNotificationKind::Heartbeat, _) => "info",
        (_, Severity::Page) => "critical",
        (_, Severity::Ticket) => "warning",
    };
    let action = if notification.kind.is_end() {
        "resolve"
    } else {
        "trigger"
    };
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": text::plain(&notification.key, PLATFORM_KEY_CHARS),
        "payload": {
            "summary": notification.headline(),
            "source": "throughline",
            "severity": severity,
            "timestamp": notification.at.to_rfc3339(),
            "class": "throughline-platform",
            "custom_details": {
                "details": notification.text_lines(context, PLATFORM_CHARS, str::to_owned),
                "since": notification.since,
                "incident": notification.episode,
            },
        },
        "links": platform_links(notification, "href", "text"),
    });
    if let (false, Some(object)) = (notification.kind.is_end(), body.as_object_mut()) {
        object.insert("client".to_owned(), json!("throughline"));
    }
    body
}

/// `None` where the status tells what a response means.
pub fn class_of(status: u16, body: &str) -> Option<AttemptClass> {
    let names_key = status == 400 && body.to_lowercase().contains("routing key");
    names_key.then_some(AttemptClass::Misconfigured)
}

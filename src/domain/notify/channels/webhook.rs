//! The body for any other receiver, in the form of Standard Webhooks 1.0.0.
//!
//! Receivers drop duplicates by the header `webhook-id`, and apply a message only if its
//! `data.version` is above the last of the same `data.alert_key`.

use serde_json::{Value, json};

use crate::domain::{
    alerting::{
        alert::TransitionKind,
        rule_status::WindowStatus,
        snapshot::{
            AlertSnapshot, Before, EpisodeSummary, RecentChange, SlowestStage, TopCustomer,
            WorstWorkflow,
        },
        threshold::ThresholdStatus,
        trace_link::TraceLink,
    },
    counting::differences::Difference,
    model::{group::Group, text},
    notify::{
        MessageNote, Notification, PlatformNotification, RenderContext,
        delivery::alert_key,
        message::{Detail, Message, plain_text},
        wording,
    },
};

/// The specification requires less than 20 kB.
const MAX_BYTES: usize = 19_000;
const MAX_LABELS: usize = 40;
const LABEL_CHARS: usize = 200;
const STRING_CHARS: usize = 300;
const URL_BYTES: usize = 2_000;

pub fn body(notification: &Notification, context: &RenderContext) -> Value {
    match notification {
        Notification::Alert(facts) => alert_body(facts, context),
        Notification::Platform(platform) => platform_body(platform, notification, context),
    }
}

fn alert_body(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    Detail::richest(
        |detail| message(facts, context, detail),
        |message| message.to_string().len() <= MAX_BYTES,
    )
}

fn message(facts: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Value {
    let mut data = data(facts, context, detail);
    if let Some(object) = data.as_object_mut() {
        let text = Message::of_alert(facts, context, detail).in_full();
        object.insert("text".to_owned(), json!(text));
    }
    json!({
        "type": message_type(facts),
        "timestamp": facts.evaluated_at,
        "data": data,
    })
}

const fn message_type(facts: &AlertSnapshot) -> &'static str {
    if facts.is_test {
        return "slo.test";
    }
    match facts.kind {
        TransitionKind::Firing => "slo.alert.firing",
        TransitionKind::Updated => "slo.alert.updated",
        TransitionKind::DataStopped => "slo.data.stopped",
        TransitionKind::DataResumed => "slo.data.resumed",
        TransitionKind::Unmuted => "slo.alert.unmuted",
        TransitionKind::Reminded => "slo.alert.reminded",
        TransitionKind::Acknowledged => "slo.alert.acknowledged",
        TransitionKind::Resolved => "slo.alert.resolved",
    }
}

fn data(facts: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Value {
    let mut data = json!({
        "alert_key": alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
        "version": facts.version,
        "incident": facts.episode,
        "summary": wording::headline(facts),
        "slo": facts.slo,
        "display_name": text::plain(&facts.display_name, STRING_CHARS),
        "group": facts.group.as_ref().map(group),
        "service": facts.service.as_ref().map(|service| text::plain(service, STRING_CHARS)),
        "labels": labels(facts, detail),
        "severity": facts.severity,
        "rule": facts.rule,
        "factor": facts.limit.is_none().then_some(facts.factor),
        "threshold_rule": facts.limit.as_ref().map(limit),
        "objective": objective(facts),
        "long_window": window(&facts.long),
        "short_window": window(&facts.short),
        "budget": {
            "remaining_ratio": facts.budget_remaining,
            "bad_events_allowed": facts.bad_events_allowed,
            "empty_in_seconds": facts.budget_empty_in_secs,
        },
        "began_at": facts.began_at,
        "evaluated_at": facts.evaluated_at,
        "fired_at": facts.fired_at,
        "acknowledged": facts.acknowledged.as_ref().map(|acknowledged| json!({
            "at": acknowledged.at,
            "by": acknowledged.by.as_deref().map(|by| text::plain(by, LABEL_CHARS)),
        })),
        "incident_number_today": facts.nth_today,
        "update": facts.development.map(|update| json!({ "text": update.text(facts), "details": update })),
        "slowest_stage": facts.slowest_stage.as_ref().map(slowest),
        "worst_workflows": facts.worst.iter().take(detail.examples()).map(worst).collect::<Vec<_>>(),
        "in_common": facts.differences.iter().take(detail.differences()).map(in_common).collect::<Vec<_>>(),
        "compared_events": facts.context.compared,
        "recent_changes": facts.context.changes.iter().take(detail.changes()).map(change).collect::<Vec<_>>(),
        "top_customers": facts.context.top_customers.iter().take(detail.changes()).map(top).collect::<Vec<_>>(),
        "trend": facts.context.trend.as_ref().filter(|_| detail.shows_numbers()),
        "chart_url": context.chart.as_deref().and_then(|url| text::web_address(url, URL_BYTES)),
        "data_until": facts.context.data_until,
        "runbook_url": address(facts.runbook.as_deref()),
        "page_url": address(facts.page_url.as_deref()),
        "incident_summary": facts.episode_summary.as_ref().map(|episode| cost(facts, episode)),
        "notes": context.notes.iter().map(note).collect::<Vec<_>>(),
        "acknowledge_url": address(context.actions.acknowledge.as_deref()),
        "silence_url": address(context.actions.silence.as_deref()),
    });
    if let (Some(all), Value::Object(customers)) = (data.as_object_mut(), customers(facts)) {
        all.extend(customers);
    }
    data
}

fn customers(facts: &AlertSnapshot) -> Value {
    let total = facts.customers_total;
    json!({
        "customers_affected": facts.customers_affected,
        "customers_affected_is_upper_bound": total.map(|total| total.affected_is_upper_bound),
        "customers_total": total.map(|total| total.customers),
        "customers_total_is_lower_bound": total.map(|total| total.is_lower_bound),
    })
}

fn address(url: Option<&str>) -> Option<&str> {
    text::web_address(url?, URL_BYTES)
}

/// Formats the kind and numbers of a note, and its text.
fn note(note: &MessageNote) -> Value {
    let mut told = json!(note);
    if let Some(object) = told.as_object_mut() {
        object.insert("text".to_owned(), json!(wording::note(note)));
    }
    told
}

fn labels(facts: &AlertSnapshot, detail: Detail) -> Value {
    let most = if detail.shows_numbers() {
        MAX_LABELS
    } else {
        0
    };
    let labels = facts.labels.iter().take(most).map(|(key, value)| {
        (
            text::plain(key, LABEL_CHARS),
            json!(text::plain(value, LABEL_CHARS)),
        )
    });
    Value::Object(labels.collect())
}

fn objective(facts: &AlertSnapshot) -> Value {
    json!({
        "text": wording::objective(facts),
        "ratio": facts.objective,
        "window_seconds": facts.window_secs,
        "calendar": facts.calendar,
        "within_seconds": facts.within_secs,
    })
}

/// Formats a group by attribute; a missing value, or one that represents many, reads as on the
/// pages.
fn group(group: &Group) -> Value {
    let pairs = group.pairs().map(|(name, value)| {
        (
            text::plain(name, LABEL_CHARS),
            json!(text::plain(value, LABEL_CHARS)),
        )
    });
    Value::Object(pairs.collect())
}

/// Formats the kind, the limit, and the number that is compared with it.
fn limit(rule: &ThresholdStatus) -> Value {
    json!({
        "text": rule.sentence(),
        "threshold": rule.limit,
        "value": rule.value,
    })
}

fn window(window: &WindowStatus) -> Value {
    let counts = window.counts;
    json!({
        "seconds": window.secs,
        "total": counts.total(),
        "bad": counts.bad(),
        "bad_ratio": counts.bad_ratio(),
        "bad_by_reason": {
            "late": counts.late,
            "failed": counts.failed,
            "timeout": counts.timeout,
        },
        "burn_rate": window.burn_rate,
    })
}

fn slowest(slowest: &SlowestStage) -> Value {
    json!({
        "title": text::plain(&slowest.title, STRING_CHARS),
        "share_of_excess_ratio": slowest.share_of_excess,
        "bad_mean_seconds": slowest.bad_secs,
        "good_mean_seconds": slowest.good_secs,
    })
}

fn worst(worst: &WorstWorkflow) -> Value {
    json!({
        "workflow": text::plain(&worst.label, STRING_CHARS),
        "trace_id": worst.trace_id,
        "customer": worst.customer.as_ref().map(|name| text::plain(name, STRING_CHARS)),
        "outcome": worst.outcome,
        "started_at": worst.started_at,
        "duration_seconds": worst.took_secs,
        "ended": worst.ended,
        "page_url": worst.page_url.as_deref().and_then(|url| text::web_address(url, URL_BYTES)),
        "links": worst.links.iter().filter_map(link).collect::<Vec<_>>(),
    })
}

fn link(link: &TraceLink) -> Option<Value> {
    let url = text::web_address(&link.url, URL_BYTES)?;
    Some(json!({ "name": text::plain(&link.name, STRING_CHARS), "url": url }))
}

fn change(change: &RecentChange) -> Value {
    let url = change.url.as_deref();
    json!({
        "kind": change.kind,
        "at": change.at,
        "title": text::plain(&change.title, STRING_CHARS),
        "url": url.and_then(|url| text::web_address(url, URL_BYTES)),
    })
}

fn top(one: &TopCustomer) -> Value {
    json!({ "customer": text::plain(&one.customer, STRING_CHARS), "bad": one.bad })
}

fn before(before: &Before) -> Value {
    json!({
        "bad_ratio": before.bad_ratio,
        "in_common": before.difference.as_ref().map(in_common),
        "good_ratio_now": before.good_ratio_now,
    })
}

fn in_common(one: &Difference) -> Value {
    json!({
        "attribute": text::plain(&one.attribute, LABEL_CHARS),
        "value": text::plain(&one.value, LABEL_CHARS),
        "bad_ratio": one.bad_ratio,
        "good_ratio": one.good_ratio,
    })
}

fn cost(facts: &AlertSnapshot, episode: &EpisodeSummary) -> Value {
    json!({
        "ended_by": episode.ended_by,
        "flaps": episode.flaps,
        "fired_at": episode.fired_at,
        "resolved_at": episode.resolved_at,
        "duration": wording::lasted(facts, episode),
        "total": episode.counts.total(),
        "bad": episode.counts.bad(),
        "customers_affected": episode.customers_affected,
        "customers_affected_is_upper_bound": episode.customers_affected_is_upper_bound,
        "budget_spent_ratio": episode.budget_spent,
        "before": episode.before.as_ref().map(before),
    })
}

fn platform_body(
    platform: &PlatformNotification,
    notification: &Notification,
    context: &RenderContext,
) -> Value {
    let message = Message::new(notification, context, Detail::Full);
    let body = message.paragraphs.iter().flat_map(|one| &one.lines);
    let body = message.notes.into_iter().chain(body.map(plain_text));
    let links: Vec<Value> = message
        .links
        .iter()
        .map(|one| json!({ "url": one.url, "title": one.title }))
        .collect();
    json!({
        "type": platform.kind.message_type(),
        "timestamp": message.at,
        "data": {
            "key": message.identity.key,
            "incident": platform.episode,
            "severity": platform.severity,
            "summary": message.headline,
            "lines": body.collect::<Vec<_>>(),
            "links": links,
            "since": message.started_at,
            "at": message.at,
        },
    })
}

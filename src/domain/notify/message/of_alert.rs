//! The message of an alert.

use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::{
    Detail, FIRING_FOR, LinePart, LinkKind, Message, MessageField, MessageIdentity, MessageImage,
    MessageLink, MessageStatus, address, ours, paragraphs, repeated, theirs,
};
use crate::domain::{
    alerting::{
        alert::{EpisodeEnd, TransitionKind},
        snapshot::AlertSnapshot,
    },
    model::{format, group::Group, text, time::Timestamp},
    notify::{RenderContext, delivery::alert_key, wording},
};

const LABEL_CHARS: usize = 200;
const MAX_LABELS: usize = 40;

pub(super) fn message(alert: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Message {
    let full = detail.shows_numbers();
    let chart = context.chart.as_deref().filter(|_| detail.shows_chart());
    Message {
        headline: wording::headline(alert),
        status: status(alert),
        severity: Some(alert.severity),
        is_test: alert.is_test,
        identity: identity(alert),
        started_at: started_at(alert),
        at: alert.evaluated_at,
        ended_at: ended_at(alert),
        valid_for: FIRING_FOR,
        notes: wording::notes(context),
        sentences: sentences(alert, detail),
        fields: if full { fields(alert) } else { Vec::new() },
        paragraphs: if full {
            paragraphs::all(alert, detail)
        } else {
            Vec::new()
        },
        image: chart.and_then(address).map(|url| MessageImage {
            url,
            alt: wording::chart(alert),
        }),
        links: if full {
            links(alert, context)
        } else {
            Vec::new()
        },
        details: details(alert),
        footer: footer(alert, context),
    }
}

fn status(alert: &AlertSnapshot) -> MessageStatus {
    match alert.kind {
        TransitionKind::Firing
        | TransitionKind::Updated
        | TransitionKind::DataResumed
        | TransitionKind::Unmuted => MessageStatus::Firing,
        TransitionKind::DataStopped => MessageStatus::NoData,
        TransitionKind::Reminded => MessageStatus::Reminder,
        TransitionKind::Acknowledged => MessageStatus::Acknowledged,
        TransitionKind::Resolved => match wording::ended_by(alert) {
            EpisodeEnd::Recovered => MessageStatus::Resolved,
            EpisodeEnd::Undeclared => MessageStatus::Removed,
        },
    }
}

fn identity(alert: &AlertSnapshot) -> MessageIdentity {
    let key = alert_key(&alert.slo, alert.group.as_ref(), alert.severity);
    let service = alert
        .service
        .as_deref()
        .map(|name| text::plain(name, LABEL_CHARS));
    let mut own_labels = vec![("slo", alert.slo.to_string())];
    own_labels.extend(service.clone().map(|service| ("service", service)));
    if let Some(group) = &alert.group {
        own_labels.push(("group", text::plain(&group.text(), LABEL_CHARS)));
        // Long values of groups may be truncated to the same text.
        own_labels.push(("alert_key", key.clone()));
    }
    let plain = |text: &str| text::plain(text, LABEL_CHARS);
    let labels = alert.labels.iter().take(MAX_LABELS);
    MessageIdentity {
        key,
        alert_name: alert.slo.to_string(),
        source: format!("slo:{}", alert.slo),
        class: match alert.limit {
            Some(_) => "slo-threshold",
            None => "slo-burn-rate",
        },
        service,
        labels: labels
            .map(|(name, value)| (plain(name), plain(value)))
            .collect(),
        own_labels,
    }
}

fn started_at(alert: &AlertSnapshot) -> Timestamp {
    let episode = alert.episode_summary.as_ref();
    let fired_at = episode.map(|episode| episode.fired_at).or(alert.fired_at);
    fired_at.unwrap_or(alert.evaluated_at)
}

fn ended_at(alert: &AlertSnapshot) -> Option<Timestamp> {
    let episode = alert.episode_summary.as_ref();
    let ended = episode.map_or(alert.evaluated_at, |episode| episode.resolved_at);
    (!alert.kind.lasts()).then_some(ended)
}

fn sentences(alert: &AlertSnapshot, detail: Detail) -> Vec<MessageField> {
    let sentence = |key, text: String| MessageField::new(key, "", text);
    let mut all = Vec::new();
    if let Some(update) = wording::development(alert) {
        all.push(sentence("update", update));
    }
    if let Some(by) = wording::acknowledged_by(alert) {
        all.push(MessageField {
            key: "acknowledged_by",
            title: "",
            value: vec![ours("Acknowledged by "), theirs(by), ours(".")],
        });
    }
    if let Some(episode) = &alert.episode_summary {
        let cost = wording::cost(alert, episode);
        let text = format!("{} What it cost: {cost}.", wording::ending_sentence(alert));
        all.push(sentence("incident_summary", text));
    }
    all.push(sentence("description", wording::description(alert)));
    if let Some(trend) = wording::trend(alert).filter(|_| detail.shows_numbers()) {
        all.push(sentence("trend", format!("{trend}.")));
    }
    all
}

fn fields(alert: &AlertSnapshot) -> Vec<MessageField> {
    let field = MessageField::new;
    let mut all = Vec::new();
    // After the end there is no burn rate, and the cost contains the rest.
    if alert.kind.lasts() {
        all.extend(alert.slowest_stage.as_ref().map(|slowest| MessageField {
            key: "slowest_stage",
            title: "Slowest stage",
            value: vec![
                theirs(&slowest.title),
                ours(format!(", {}", wording::extra_time(slowest))),
            ],
        }));
        all.extend(wording::people(alert).map(|who| field("customers", "Customers", who)));
        all.extend(since(alert));
        all.push(field("budget_forecast", "Pace", wording::pace(alert)));
    }
    all.push(field(
        wording::burn_key(alert),
        wording::burn_title(alert),
        wording::burn(alert),
    ));
    all.push(field(
        "budget_remaining",
        "Budget left",
        wording::budget_left(alert),
    ));
    all.push(field("objective", "Objective", wording::objective(alert)));
    all.extend(wording::data(alert).map(|data| field("data", "Data", data)));
    let named = [
        ("group", "Group", alert.group.as_ref().map(Group::text)),
        ("service", "Service", alert.service.clone()),
    ];
    for (key, title, value) in named {
        all.extend(value.map(|value| MessageField {
            key,
            title,
            value: vec![theirs(&value)],
        }));
    }
    all
}

fn since(alert: &AlertSnapshot) -> Option<MessageField> {
    let mut value = vec![LinePart::Time(alert.began_at?)];
    value.extend(wording::noticed(alert).map(|noticed| ours(format!(", {noticed}"))));
    Some(MessageField {
        key: "since",
        title: "Since",
        value,
    })
}

fn links(alert: &AlertSnapshot, context: &RenderContext) -> Vec<MessageLink> {
    let page = alert.page_url.as_deref();
    let page = page.and_then(|url| MessageLink::new(LinkKind::Page, "Open", url));
    let actions = context.actions.named();
    let actions = actions.filter_map(|(title, url)| MessageLink::new(LinkKind::Action, title, url));
    let runbook = alert.runbook.as_deref();
    let runbook = runbook.and_then(|url| MessageLink::new(LinkKind::Runbook, "Runbook", url));
    let traces = alert.worst.iter().take(1).flat_map(|worst| &worst.links);
    let traces = traces.filter_map(|trace| {
        let title = format!("Worst trace, {}", trace.name);
        MessageLink::new(LinkKind::More, &title, &trace.url)
    });
    let ours = page.into_iter().chain(actions).chain(runbook);
    ours.chain(traces).collect()
}

fn details(alert: &AlertSnapshot) -> Map<String, Value> {
    let mut details = Map::new();
    let mut add = |name: &str, value| details.insert(name.to_owned(), value);
    add("rule", json!(alert.rule));
    add("incident", json!(alert.episode));
    add("notification", json!(alert.version));
    if let Some(customers) = alert.customers_affected {
        add("customers_affected", json!(customers));
    }
    if let Some(total) = &alert.customers_total {
        add("customers_total", json!(total.customers));
        if total.affected_is_upper_bound {
            add("customers_affected_is_upper_bound", json!(true));
        }
    }
    if let Some(episode) = &alert.episode_summary {
        add("ended_by", json!(episode.ended_by));
    }
    details
}

fn footer(alert: &AlertSnapshot, context: &RenderContext) -> String {
    format!(
        "{} {} · rule {} · incident {} · notification {} · evaluated {}{}",
        wording::urgency(alert.severity),
        alert.slo,
        alert.rule,
        alert.episode.simple(),
        alert.version,
        format::time_of_day(alert.evaluated_at, Tz::UTC),
        repeated(context),
    )
}

//! The timeline of an incident.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            incident::{Acknowledgement, IncidentNote},
        },
        model::{format, time::Timestamp},
        notify::{delivery::DeliveryState, wording},
    },
    store::{AlertTransition, IncidentAttempt, IncidentDelivery},
    web::reader::times,
};

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(super) struct TimelineEntry {
    pub(super) at: Timestamp,
    /// `began`, a kind of transition, `delivery`, `acknowledged` or `note`.
    pub(super) kind: &'static str,
    pub(super) text: String,
    /// True if something went wrong.
    pub(super) is_problem: bool,
}

/// Returns the entries, oldest first.
pub(super) fn of(
    transitions: &[AlertTransition],
    deliveries: Vec<IncidentDelivery>,
    acknowledged: Option<&Acknowledgement>,
    notes: &[IncidentNote],
) -> Vec<TimelineEntry> {
    let mut moments = Vec::new();
    moments.extend(transitions.first().and_then(|first| {
        let text = wording::beginning(&first.facts)?;
        Some(moment(first.facts.began_at?, "began", text.to_owned()))
    }));
    moments.extend(transitions.iter().map(transition));
    let at: BTreeMap<Uuid, Timestamp> = transitions.iter().map(|one| (one.id, one.at)).collect();
    let mut ended = BTreeSet::new();
    for one in deliveries {
        let Some(at) = at.get(&one.transition) else {
            continue;
        };
        if ended.insert(one.delivery) {
            moments.extend(undelivered(&one, *at));
        }
        moments.extend(one.attempt.map(|attempt| attempted(&one.target, attempt)));
    }
    moments.extend(acknowledged.map(|acknowledged| {
        let by = acknowledged.by.as_deref().unwrap_or("someone");
        moment(acknowledged.at, "acknowledged", format!("by {by}"))
    }));
    moments.extend(notes.iter().map(|note| {
        let by = note.by.as_deref().unwrap_or("someone");
        moment(note.at, "note", format!("{by}: {}", note.text))
    }));
    // A stable sort: at the same time the cause stays before its effect.
    moments.sort_by_key(|moment| moment.at);
    moments
}

const fn moment(at: Timestamp, kind: &'static str, text: String) -> TimelineEntry {
    TimelineEntry {
        at,
        kind,
        text,
        is_problem: false,
    }
}

fn transition(one: &AlertTransition) -> TimelineEntry {
    let facts = &one.facts;
    let text = match facts.kind {
        TransitionKind::Firing => {
            format!("rule {}: {}", facts.rule, wording::burn(facts))
        }
        TransitionKind::Resolved => wording::ending(facts).to_owned(),
        _ => wording::development(facts).unwrap_or_else(|| facts.kind.as_str().to_owned()),
    };
    let text = match one.suppression {
        Some(suppression) => format!("{text}; not notified: {}", suppression.text()),
        None => text,
    };
    moment(one.at, facts.kind.as_str(), text)
}

/// Returns the entry of a delivery that has not reached its target.
fn undelivered(delivery: &IncidentDelivery, transition_at: Timestamp) -> Option<TimelineEntry> {
    let state = DeliveryState::parse(&delivery.state);
    if let Some(DeliveryState::Delivered | DeliveryState::Leased) = state {
        return None;
    }
    let words = state.map_or_else(
        || delivery.state.clone(),
        |state| state.in_words().to_owned(),
    );
    let text = format!("{}: {words}", delivery.target);
    let at = delivery.settled_at.unwrap_or(transition_at);
    Some(TimelineEntry {
        is_problem: state != Some(DeliveryState::Pending),
        ..moment(at, "delivery", text)
    })
}

fn attempted(target: &str, attempt: IncidentAttempt) -> TimelineEntry {
    let took = format::seconds(f64::from(attempt.duration_ms) / 1_000.0);
    let answer = attempt
        .http_status
        .map_or_else(String::new, |status| format!(" {status}"));
    if attempt.class == "delivered" {
        let text = format!("{target}: delivered{answer} in {took}");
        return moment(attempt.at, "delivery", text);
    }
    let excerpt = attempt
        .excerpt
        .map_or_else(String::new, |excerpt| format!(": {excerpt}"));
    TimelineEntry {
        is_problem: true,
        ..moment(
            attempt.at,
            "delivery",
            format!(
                "{target}: attempt failed,{answer} {}{excerpt}",
                attempt.class
            ),
        )
    }
}

impl TimelineEntry {
    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            "began" => "Began",
            "firing" => "Fired",
            "updated" => "Update",
            "data_stopped" => "No data",
            "data_resumed" => "Data back",
            "unmuted" => "Still firing",
            "reminded" => "Reminder",
            "acknowledged" => "Acknowledged",
            "resolved" => "Ended",
            "note" => "Note",
            _ => "Delivery",
        }
    }

    pub(super) fn icon(&self) -> &'static str {
        match self.kind {
            _ if self.is_problem => "broken",
            "firing" | "unmuted" | "reminded" => "page",
            "began" | "updated" => "up",
            "data_stopped" => "low",
            _ => "ok",
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(super) fn at_text(&self, now: &Timestamp) -> String {
        times::moment(self.at, *now)
    }

    pub(super) fn rfc3339(&self) -> String {
        self.at.to_rfc3339()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(state: &str) -> IncidentDelivery {
        IncidentDelivery {
            transition: Uuid::nil(),
            delivery: 1,
            target: "chat".to_owned(),
            state: state.to_owned(),
            settled_at: Some(Timestamp::from_secs(60)),
            attempt: None,
        }
    }

    #[test]
    fn t14_what_was_collapsed_stands_on_the_page_and_is_no_silence() {
        let at = Timestamp::UNIX_EPOCH;
        let moment = undelivered(&delivery("collapsed"), at).unwrap();
        assert!(moment.is_problem && moment.at > at);
        assert_eq!(
            moment.text,
            "chat: skipped: resolved before it could be delivered"
        );
        assert_eq!(undelivered(&delivery("delivered"), at), None);
        for state in ["failed", "expired", "cancelled", "something new"] {
            assert!(
                undelivered(&delivery(state), at).unwrap().is_problem,
                "{state}"
            );
        }
    }
}

//! Texts about an alert that is still firing.

use std::time::Duration;

use chrono_tz::Tz;

use super::{objective, share, urgency};
use crate::domain::{
    alerting::{alert::AlertUpdate, rule_status::Missing, snapshot::AlertSnapshot},
    model::{format, time::Timestamp},
};

impl AlertUpdate {
    /// Formats the beginning of a headline, before the numbers: `worse, customers affected 40 → 95
    /// in 1 h`.
    pub(super) fn lead(self, facts: &AlertSnapshot) -> String {
        let began = began(facts);
        match self {
            Self::MoreCustomers { before, now } => format!(
                "worse, {} → {} customers in 1 h",
                format::count(before),
                format::count(now)
            ),
            Self::BudgetSpent => "worse, the budget is spent".to_owned(),
            Self::DataStopped {
                heard_until,
                missing,
            } => format!(
                "still firing, {}{}, not recovered",
                missing.text(),
                since(heard_until)
            ),
            Self::DataResumed { .. } => format!("still firing{began}, data has resumed"),
            Self::Unmuted { was } => format!("was {}, still firing{began}", was.text()),
            Self::Reminded => format!("still firing{began}, not acknowledged"),
            Self::Acknowledged => format!("acknowledged, still firing{began}"),
        }
    }

    /// Returns whether [`lead`](Self::lead) contains the number of affected customers.
    pub(super) const fn names_customers(self) -> bool {
        matches!(self, Self::MoreCustomers { .. })
    }

    /// Returns one or two sentences without user strings.
    pub fn text(self, facts: &AlertSnapshot) -> String {
        let (lead, began) = (urgency(facts.severity), it_began(facts));
        let now = facts.evaluated_at;
        match self {
            Self::MoreCustomers { before, now } => format!(
                "Worse: {} customers with a bad event in the last hour, {} in the last notification.",
                format::count(now),
                format::count(before)
            ),
            Self::BudgetSpent => format!(
                "Worse: the error budget is spent. {} is missed unless bad events age out of the \
                 window.",
                objective(facts)
            ),
            Self::DataStopped {
                heard_until,
                missing,
            } => format!(
                "Still firing, but {}{}{}. It has not recovered. Last known: {}.",
                missing.text(),
                since(heard_until),
                ago(heard_until, now),
                share(facts)
            ),
            Self::DataResumed { stopped_at } => format!(
                "Data has resumed after {}. The alert is still firing{began}.",
                format::lasting(now.saturating_since(stopped_at))
            ),
            Self::Unmuted { was } => format!("It was {}. It is still firing{began}.", was.text()),
            Self::Acknowledged => {
                format!("Acknowledged. It is still firing{began}.")
            }
            Self::Reminded => {
                format!("{lead} still firing{began}. It is not acknowledged.")
            }
        }
    }
}

impl Missing {
    const fn text(self) -> &'static str {
        match self {
            Self::Events => "no events",
            Self::Ingest => "no spans received",
            Self::ConsistentCounts => "counts contradict each other",
        }
    }
}

/// Formats `, began 04:12 UTC`.
fn began(facts: &AlertSnapshot) -> String {
    began_at(facts).map_or_else(String::new, |at| format!(", began {at}"))
}

/// Formats `; it began at 04:12 UTC`, for a sentence.
fn it_began(facts: &AlertSnapshot) -> String {
    began_at(facts).map_or_else(String::new, |at| format!("; it began at {at}"))
}

/// Formats the time that is called "since" everywhere.
fn began_at(facts: &AlertSnapshot) -> Option<String> {
    let at = facts.began_at.or(facts.fired_at)?;
    Some(format!(
        "{} UTC",
        format::moment(at, facts.evaluated_at, Tz::UTC)
    ))
}

/// Formats ` since 06:18`; empty if the time is unknown.
fn since(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| {
        format!(" since {}", format::time_of_day(at, Tz::UTC))
    })
}

/// Formats ` (12 min)`.
fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let minute = Duration::from_mins(1);
    match at.map(|at| now.saturating_since(at)) {
        Some(length) if length >= minute => format!(" ({})", format::lasting(length)),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        alerting::alert::TransitionKind,
        notify::{
            RenderContext,
            channels::{alertmanager, pagerduty, slack, teams, webhook},
            sample, wording,
        },
    };

    #[test]
    fn a_headline_says_what_has_come_of_it_before_the_numbers() {
        let headlines: Vec<_> = sample::developments()
            .iter()
            .map(wording::headline)
            .collect();
        insta::assert_snapshot!(headlines.join("\n"));
    }

    #[test]
    fn what_has_come_of_it_is_told_in_a_sentence_or_two() {
        let texts: Vec<_> = sample::developments()
            .iter()
            .filter_map(wording::development)
            .collect();
        assert_eq!(texts.len(), sample::developments().len());
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn every_kind_of_target_is_told_what_has_come_of_it_and_that_it_fires_on() {
        let context = RenderContext::default();
        for facts in sample::developments() {
            let text = wording::development(&facts).unwrap();
            let event = pagerduty::body(&facts.clone().into(), &context, "R0");
            let is_taken_on = facts.kind == TransitionKind::Acknowledged;
            let action = if is_taken_on {
                "acknowledge"
            } else {
                "trigger"
            };
            assert_eq!(event["event_action"], action);
            assert_eq!(event["payload"]["custom_details"]["update"], text);
            let opening = pagerduty::body(&sample::firing().into(), &context, "R0");
            assert_eq!(event["dedup_key"], opening["dedup_key"]);

            let hook = webhook::body(&facts.clone().into(), &context);
            assert_eq!(hook["data"]["update"]["text"], text);
            let kind = hook["type"].as_str().unwrap();
            assert!(
                kind.starts_with("slo.") && kind != "slo.alert.firing",
                "{kind}"
            );

            let alert = alertmanager::posted(&facts.clone().into(), &context, facts.evaluated_at);
            assert_eq!(alert["annotations"]["update"], text);
            assert_eq!(alert["startsAt"], facts.fired_at.unwrap().to_rfc3339());
            assert!(alert["endsAt"].as_str() > alert["startsAt"].as_str());
            let like_alertmanager =
                alertmanager::webhook_v4(&facts.clone().into(), &context, "hook");
            assert_eq!(like_alertmanager["status"], "firing");

            for message in [
                slack::body(&facts.clone().into(), &context),
                slack::reply(&facts.clone().into(), &context),
                teams::body(&facts.clone().into(), &context),
            ] {
                assert!(message.to_string().contains(&text), "{message}");
            }
        }
    }

    #[test]
    fn t05_what_begins_again_soon_after_it_was_over_says_so() {
        let headline = |nth_today| {
            wording::headline(&AlertSnapshot {
                nth_today,
                ..sample::firing()
            })
        };
        assert!(headline(None).starts_with("PAGE Checkout speed: waiting in"));
        assert!(
            headline(Some(1)).starts_with("PAGE Checkout speed: again, waiting in"),
            "last began yesterday"
        );
        assert!(headline(Some(3)).starts_with("PAGE Checkout speed: 3rd time today, waiting in"));
    }

    #[test]
    fn facts_written_before_there_were_developments_can_be_read() {
        let mut json = serde_json::to_value(sample::firing()).unwrap();
        json.as_object_mut().unwrap().remove("fired_at");
        let facts: AlertSnapshot = serde_json::from_value(json).unwrap();
        assert_eq!((facts.fired_at, facts.development), (None, None));
        for facts in sample::developments() {
            let json = serde_json::to_string(&facts).unwrap();
            assert_eq!(serde_json::from_str::<AlertSnapshot>(&json).unwrap(), facts);
        }
    }
}

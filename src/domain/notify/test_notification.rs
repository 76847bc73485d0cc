//! Test notifications: invented snapshots, marked as a test, and sent as real ones.
//!
//! They go through the same outbox, the same bodies and the same classification of responses as
//! alerts; any other way would prove nothing.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    alerting::{
        alert::{EpisodeEnd, TransitionKind},
        rule_status::WindowStatus,
        snapshot::{AlertSnapshot, EpisodeSummary, SlowestStage, WorstWorkflow},
    },
    counting::{customers::CustomerTotal, differences::Difference},
    model::{
        counts::EventCounts,
        ids::{Name, ParseNameError, TraceId},
        time::Timestamp,
    },
    slo::{Severity, TargetKind},
    workflow::Outcome,
};

/// Above the rate limit of a chat, and above the number of single messages, so that a digest
/// follows.
const STORM: u32 = 15;

/// The content of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// An alert that fires.
    #[default]
    Firing,
    /// The same alert, resolved.
    Resolved,
    /// All strings at their maximum length.
    Long,
    /// Letters of many scripts, and text that would mention a channel if it were not escaped.
    Unicode,
    /// As many alerts as a failing database causes.
    Storm,
}

/// The scenario of a test, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestNotification {
    pub id: Uuid,
    pub scenario: Scenario,
    pub at: Timestamp,
    pub page_url: Option<String>,
}

impl TestNotification {
    /// Returns the messages in the order of sending. For a target that opens incidents, the end
    /// follows at once.
    pub fn messages(&self, kind: &TargetKind) -> Result<Vec<AlertSnapshot>, ParseNameError> {
        let opens = match kind {
            TargetKind::PagerDuty { .. } | TargetKind::Alertmanager { .. } => true,
            TargetKind::Webhook { .. }
            | TargetKind::Slack { .. }
            | TargetKind::SlackBot { .. }
            | TargetKind::Teams { .. } => false,
        };
        let count = match self.scenario {
            Scenario::Storm => STORM,
            Scenario::Firing | Scenario::Resolved | Scenario::Long | Scenario::Unicode => 1,
        };
        let mut messages = Vec::new();
        for nth in 1..=count {
            let firing = self.firing(nth)?;
            let end =
                (opens || self.scenario == Scenario::Resolved).then(|| self.resolved(&firing));
            messages.push(firing);
            messages.extend(end);
        }
        Ok(messages)
    }

    fn firing(&self, nth: u32) -> Result<AlertSnapshot, ParseNameError> {
        let slo: Name = match nth {
            1 => "throughline-test".parse()?,
            nth => format!("throughline-test-{nth}").parse()?,
        };
        let began = self.at - Duration::from_mins(6);
        let words = Words::of(self.scenario);
        Ok(AlertSnapshot {
            is_test: true,
            kind: TransitionKind::Firing,
            slo,
            display_name: words.display_name,
            group: None,
            service: Some("checkout".to_owned()),
            labels: words.labels,
            severity: Severity::Page,
            rule: "fast".parse()?,
            factor: 14.4,
            limit: None,
            episode: self.id,
            version: 1,
            objective: 0.995,
            window_secs: 30 * 86_400,
            calendar: None,
            within_secs: Some(4.0),
            long: window(3_600, 1_240, 8_070),
            short: window(300, 93, 707),
            customers_affected: Some(412),
            customers_total: Some(CustomerTotal {
                customers: 9_120,
                is_lower_bound: false,
                affected_is_upper_bound: false,
            }),
            budget_remaining: Some(0.18),
            bad_events_allowed: 403,
            budget_empty_in_secs: Some(17_520),
            began_at: Some(began),
            evaluated_at: self.at,
            acknowledged: None,
            context: crate::domain::alerting::snapshot::Context::default(),
            nth_today: None,
            finish_unmatched_since: None,
            fired_at: Some(self.at),
            development: None,
            worst: self.worst(words.label, words.customer, began),
            differences: vec![Difference {
                attribute: "span.payment.provider".to_owned(),
                value: words.value,
                bad_ratio: 0.88,
                good_ratio: 0.22,
            }],
            slowest_stage: Some(SlowestStage {
                title: "payment.authorize".to_owned(),
                share_of_excess: 0.91,
                bad_secs: 3.9,
                good_secs: 0.4,
            }),
            runbook: None,
            page_url: self.page_url.clone(),
            episode_summary: None,
        })
    }

    fn worst(&self, label: String, customer: String, began: Timestamp) -> Vec<WorstWorkflow> {
        let late = |trace_id| WorstWorkflow {
            label,
            trace_id,
            customer: Some(customer),
            outcome: Outcome::Late,
            started_at: Some(began),
            took_secs: Some(11.2),
            ended: true,
            page_url: None,
            links: Vec::new(),
        };
        let late = TraceId::from_slice(self.id.as_bytes()).map(late);
        late.map_or_else(Vec::new, |late| vec![late; 3])
    }

    fn resolved(&self, firing: &AlertSnapshot) -> AlertSnapshot {
        AlertSnapshot {
            kind: TransitionKind::Resolved,
            version: 2,
            long: window(3_600, 18, 8_982),
            short: window(300, 0, 750),
            budget_empty_in_secs: None,
            episode_summary: Some(EpisodeSummary {
                unusable: None,
                fired_at: self.at - Duration::from_mins(5),
                resolved_at: self.at,
                ended_by: EpisodeEnd::Recovered,
                counts: counts(2_010, 20_000),
                customers_affected: Some(655),
                customers_affected_is_upper_bound: false,
                budget_spent: Some(0.21),
                flaps: 0,
                before: None,
            }),
            ..firing.clone()
        }
    }
}

/// Strings that come from outside.
struct Words {
    display_name: String,
    labels: BTreeMap<String, String>,
    label: String,
    customer: String,
    value: String,
}

impl Words {
    fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::Firing | Scenario::Resolved | Scenario::Storm => Self {
                display_name: "Checkout speed".to_owned(),
                labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
                label: "order-42".to_owned(),
                customer: "acme".to_owned(),
                value: "acme-pay".to_owned(),
            },
            Scenario::Long => Self {
                display_name: "Checkout speed ".repeat(30),
                labels: (0..60)
                    .map(|nth| (format!("label-{nth}"), "a long value ".repeat(30)))
                    .collect(),
                label: "order-of-a-very-long-name-".repeat(20),
                customer: "A Customer Of A Long Name ".repeat(20),
                value: "acme-pay-".repeat(60),
            },
            Scenario::Unicode => Self {
                display_name: "Bestellung größer 快速 🚀 עברית <!channel> *bold* `code`".to_owned(),
                labels: BTreeMap::from([("équipe".to_owned(), "paiements 💶".to_owned())]),
                label: "заказ-42 <@U012> &amp; [x](https://example.com)".to_owned(),
                customer: "Ämter & Söhne 👨\u{200D}👩\u{200D}👧".to_owned(),
                value: "\u{202E}desrever <at>all</at>".to_owned(),
            },
        }
    }
}

fn window(secs: u64, bad: i64, good: i64) -> WindowStatus {
    let counts = counts(bad, good);
    WindowStatus::new(secs, counts, counts.bad_ratio().map(|ratio| ratio / 0.005))
}

const fn counts(late: i64, good: i64) -> EventCounts {
    EventCounts {
        good,
        late,
        ..EventCounts::ZERO
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::{
        notify::{
            MessageNote, Notification, RenderContext,
            channels::{alertmanager, pagerduty, slack, teams, webhook},
        },
        slo::SecretRef,
    };

    fn pager() -> TargetKind {
        TargetKind::PagerDuty {
            routing_key: SecretRef::Env("KEY".to_owned()),
            previous_routing_key: None,
            url: None,
        }
    }

    fn slack() -> TargetKind {
        TargetKind::Slack {
            webhook_url: SecretRef::Env("URL".to_owned()),
        }
    }

    fn contents(scenario: Scenario, kind: &TargetKind) -> Vec<Notification> {
        let test_notification = TestNotification {
            id: Uuid::from_u128(1),
            scenario,
            at: Timestamp::from_secs(1_795_328_700),
            page_url: None,
        };
        let facts = test_notification.messages(kind).unwrap().into_iter();
        facts.map(Notification::from).collect()
    }

    #[test]
    fn t33_every_body_of_a_test_says_that_it_is_one() {
        let context = RenderContext {
            notes: vec![MessageNote::Test],
            ..RenderContext::default()
        };
        for scenario in [Scenario::Firing, Scenario::Long, Scenario::Unicode] {
            let notification = &contents(scenario, &slack())[0];
            let bodies = [
                slack::body(notification, &context),
                slack::text_only(notification, &context),
                teams::body(notification, &context),
                teams::text_only(notification, &context),
                pagerduty::body(notification, &context, "R0"),
                alertmanager::posted(notification, &context, Timestamp::from_secs(1_795_328_700)),
                webhook::body(notification, &context),
            ];
            for body in bodies {
                assert!(body.to_string().contains("TEST"), "{scenario:?}: {body}");
                assert!(body.to_string().contains("nothing is wrong"), "{body}");
            }
        }
    }

    #[test]
    fn a_test_of_pagerduty_wakes_nobody_and_leaves_nothing_open() {
        let told = contents(Scenario::Firing, &pager());
        let events: Vec<Value> = told
            .iter()
            .map(|notification| pagerduty::body(notification, &RenderContext::default(), "R0"))
            .collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["payload"]["severity"], "info");
        assert_eq!(events[0]["event_action"], "trigger");
        assert_eq!(events[1]["event_action"], "resolve");
        assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    }

    #[test]
    fn a_storm_is_of_many_alerts_and_a_chat_is_told_no_ends() {
        let told = contents(Scenario::Storm, &slack());
        assert_eq!(told.len(), 15);
        let mut keys: Vec<_> = told.iter().map(Notification::key).collect();
        keys.dedup();
        assert_eq!(keys.len(), 15);
    }
}

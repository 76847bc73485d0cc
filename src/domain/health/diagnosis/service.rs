//! Checks of the running service: its replicas, its senders and its own self-checks.

use std::time::Duration;

use super::Diagnosis;
use crate::domain::{
    model::{format, time::Timestamp},
    slo::Severity,
};

/// Senders may be idle at night; more than a day is a problem.
const SENDERS_WITHIN: Duration = Duration::from_hours(24);

/// The state of the running service in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    pub now: Timestamp,
    /// The number of replicas that write heartbeats.
    pub replicas: i64,
    pub last_span_at: Option<Timestamp>,
    /// Open self-checks: severity and problem.
    pub open_checks: Vec<(Severity, String)>,
}

pub fn of_service(facts: &ServiceFacts) -> Vec<Diagnosis> {
    let mut found = vec![replicas(facts), senders(facts)];
    if facts.replicas > 0 {
        found.extend(self_checks(facts));
    }
    found
}

fn replicas(facts: &ServiceFacts) -> Diagnosis {
    let check = "service";
    if facts.replicas == 0 {
        return Diagnosis::warn(
            check,
            "no replica runs on this database",
            "start `throughline serve`",
        );
    }
    let noun = format::counted(facts.replicas, "replica");
    let verb = if facts.replicas == 1 { "runs" } else { "run" };
    Diagnosis::ok(check, format!("{noun} {verb}"))
}

fn senders(facts: &ServiceFacts) -> Diagnosis {
    let check = "senders";
    let advice = "check the exporter's endpoint and port (4317 gRPC, 4318 HTTP), and whether a firewall \
                  is in between";
    match facts.last_span_at {
        None => Diagnosis::warn(check, "no span was ever received", advice),
        Some(at) => {
            let ago = facts.now.saturating_since(at);
            let text = format!("the last span was received {} ago", format::lasting(ago));
            if ago > SENDERS_WITHIN {
                Diagnosis::warn(check, text, advice)
            } else {
                Diagnosis::ok(check, text)
            }
        }
    }
}

fn self_checks(facts: &ServiceFacts) -> Vec<Diagnosis> {
    let check = "self-checks";
    if facts.open_checks.is_empty() {
        return vec![Diagnosis::ok(
            check,
            "the service finds no problem of its own",
        )];
    }
    let advice = "the log and the page of targets have the details";
    let diagnosis = |(severity, title): &(Severity, String)| match severity {
        Severity::Page => Diagnosis::fail(check, title, advice),
        Severity::Ticket => Diagnosis::warn(check, title, advice),
    };
    facts.open_checks.iter().map(diagnosis).collect()
}

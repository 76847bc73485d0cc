//! Findings about reading a Kafka topic.

use std::time::Duration;

use super::{Finding, HealthInputs, MINUTE, MOST_NAMED, hold_times, sentences};
use crate::domain::{health::LogSign, model::format, slo::Severity};

/// A smaller lag is caught up before a person could react.
pub(in crate::domain::health) const BEHIND: Duration = Duration::from_mins(5);
/// Each replica reports every second what it reads.
const READ_BY_NOBODY: Duration = Duration::from_mins(1);

/// Returns the finding that messages are lost or not read, and a person must act.
pub(super) fn problems(signs: &HealthInputs) -> Option<Finding> {
    let lines = sentences(signs, |replica| &replica.kafka_problems);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/kafka".to_owned(),
        severity: Severity::Ticket,
        title: "the Kafka topic is not read as it should".to_owned(),
        lines,
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

/// Returns the finding of a lag. Nothing is lost, and no workflow times out before its messages are
/// read, but alerts are late.
pub(super) fn behind(signs: &HealthInputs) -> Option<Finding> {
    let late = |log: &&LogSign| signs.now.saturating_since(log.up_to) >= BEHIND;
    let mut late: Vec<&LogSign> = signs.logs.iter().filter(late).collect();
    late.sort_by_key(|log| log.up_to);
    let lines = late.iter().take(MOST_NAMED).map(|log| {
        let state = if signs.now.saturating_since(log.seen_at) >= READ_BY_NOBODY {
            "no replica reads it now".to_owned()
        } else {
            let verb = if log.lag == 1 { "waits" } else { "wait" };
            format!("{} {verb}", format::counted(log.lag, "message"))
        };
        format!(
            "Partition {} of `{}` is read up to {}; {state}.",
            log.partition,
            log.topic,
            format::date_time(log.up_to)
        )
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/kafka-behind".to_owned(),
        severity: Severity::Ticket,
        title: "spans in Kafka are read late, so alerts are late".to_owned(),
        lines,
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

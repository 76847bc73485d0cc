//! Findings: problems of the service itself, derived from its health inputs.

use std::{collections::BTreeSet, time::Duration};

use super::{HealthInputs, HoldTimes, ReplicaSign, SilenceSign, TargetSign};
use crate::domain::{
    model::{format, ids::Name},
    slo::Severity,
};

/// All replicas use the database's clock. Receivers of webhooks reject signatures that are five
/// minutes off, and senders' machines set the times of spans.
pub(super) const CLOCKS_APART: Duration = Duration::from_secs(30);
/// A page that waits for two minutes has not reached the person it was meant for.
const PAGE_WAITS: Duration = Duration::from_mins(2);
/// A target without a waiting page may fail for longer, but not for ever.
const FAILS: Duration = Duration::from_mins(10);
/// Senders send in batches with pauses; five minutes without a single span are more than a pause.
const SILENCE: Duration = Duration::from_mins(5);
/// Fewer events may be missing by chance.
const USUAL_EVENTS: i64 = 10;
const LONG_SILENCE: Duration = Duration::from_hours(7 * 24);
/// Two clean-ups in a row have failed, or one has not finished since.
const NOT_CLEANED: Duration = Duration::from_hours(3);
/// The duration for which an addition of missing deliveries is reported.
const REPAIR_IS_NEWS: Duration = Duration::from_hours(1);
const MOST_NAMED: usize = 10;

mod certificates;
mod kafka;
#[cfg(test)]
mod tests;

pub(super) use kafka::BEHIND as KAFKA_BEHIND;

const MINUTE: Duration = Duration::from_mins(1);

/// A problem of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stays the same as long as the finding is about the same thing.
    pub key: String,
    pub severity: Severity,
    /// A sentence without a full stop that stays true while the finding lasts.
    pub title: String,
    pub lines: Vec<String>,
    pub hold_times: HoldTimes,
    /// The target that the finding is about, which cannot be the only one to be notified of it.
    pub target: Option<Name>,
}

/// Returns the current findings, each key once.
pub fn findings(signs: &HealthInputs) -> Vec<Finding> {
    let mut found = Vec::new();
    for target in &signs.targets {
        found.extend(misconfigured(target));
        found.extend(failing(signs, target));
    }
    found.extend(dead_letters(signs));
    found.extend(data_stopped(signs));
    found.extend(evaluator_behind(signs));
    found.extend(inconsistent_counts(signs));
    found.extend(missing_deliveries(signs));
    found.extend(clocks_apart(signs));
    found.extend(definitions_refused(signs));
    found.extend(senders_refused(signs));
    found.extend(logins_unavailable(signs));
    found.extend(certificates::expired(signs));
    found.extend(certificates::expiring(signs));
    found.extend(kafka::problems(signs));
    found.extend(kafka::behind(signs));
    found.extend(retention_behind(signs));
    found.extend(signs.silences.iter().filter_map(long_silence));
    found
}

const fn hold_times(before_open: Duration, before_resolve: Duration) -> HoldTimes {
    HoldTimes {
        before_open,
        before_resolve,
    }
}

fn misconfigured(target: &TargetSign) -> Option<Finding> {
    let since = target.broken_since?;
    let name = &target.name;
    Some(Finding {
        key: format!("throughline/target/{name}/misconfigured"),
        severity: Severity::Page,
        title: format!("target `{name}` is misconfigured: its configuration must be corrected"),
        lines: vec![
            format!("Since {}.", format::date_time(since)),
            waiting(target),
            "The targets page shows its last responses; it is probed from time to time.".to_owned(),
        ],
        hold_times: hold_times(Duration::ZERO, MINUTE),
        target: Some(name.clone()),
    })
}

fn failing(signs: &HealthInputs, target: &TargetSign) -> Option<Finding> {
    let since = target.failing_since?;
    let name = &target.name;
    let fails = signs.now.saturating_since(since);
    let page_waits = target
        .page_waits_since
        .is_some_and(|at| signs.now.saturating_since(at) >= PAGE_WAITS);
    if !page_waits && fails < FAILS {
        return None;
    }
    let severity = if page_waits {
        Severity::Page
    } else {
        Severity::Ticket
    };
    Some(Finding {
        key: format!("throughline/target/{name}/failing"),
        severity,
        title: format!("target `{name}` cannot be reached"),
        lines: vec![
            format!(
                "Every attempt has failed since {}.",
                format::date_time(since)
            ),
            waiting(target),
        ],
        hold_times: hold_times(Duration::ZERO, MINUTE * 5),
        target: Some(name.clone()),
    })
}

fn waiting(target: &TargetSign) -> String {
    match target.waiting {
        0 => "No notification waits for it.".to_owned(),
        n => format!("{} for it.", waits(n)),
    }
}

fn waits(n: i64) -> String {
    let verb = if n == 1 { "waits" } else { "wait" };
    let noun = if n == 1 {
        "notification"
    } else {
        "notifications"
    };
    format!("{} {noun} {verb}", format::count(n))
}

fn dead_letters(signs: &HealthInputs) -> Option<Finding> {
    let dead = &signs.dead_letters;
    (dead.count > 0).then(|| Finding {
        key: "throughline/dead-letters".to_owned(),
        severity: Severity::Page,
        title: "notifications failed permanently".to_owned(),
        lines: vec![
            format!(
                "{} within the last day, for {}.",
                format::counted(dead.count, "notification"),
                named(dead.targets.iter().map(String::as_str))
            ),
            "The deliveries page shows why, and can send them again.".to_owned(),
        ],
        hold_times: hold_times(Duration::ZERO, MINUTE),
        target: None,
    })
}

/// Finds that no sender sends, which concerns all SLOs: no timeouts are judged then.
fn data_stopped(signs: &HealthInputs) -> Option<Finding> {
    let silence = signs.silence().filter(|_| signs.has_caught_up());
    let silence = silence.filter(|silence| *silence >= SILENCE)?;
    let usual = signs.usual_events.filter(|usual| *usual >= USUAL_EVENTS)?;
    let heard_at = signs.last_span_at?;
    Some(Finding {
        key: "throughline/data-stopped".to_owned(),
        severity: Severity::Page,
        title: "no spans arrive".to_owned(),
        lines: vec![
            format!(
                "No span has arrived since {} ({}); {} are usual in that time.",
                format::date_time(heard_at),
                format::lasting(silence),
                format::counted(usual, "event")
            ),
            "Firing alerts keep firing; no SLO can be judged until spans arrive.".to_owned(),
        ],
        hold_times: hold_times(Duration::ZERO, MINUTE),
        target: None,
    })
}

fn evaluator_behind(signs: &HealthInputs) -> Option<Finding> {
    let late = signs.not_evaluated();
    (!late.is_empty()).then(|| Finding {
        key: "throughline/evaluator-behind".to_owned(),
        severity: Severity::Page,
        title: "SLOs are not evaluated in time".to_owned(),
        lines: vec![format!(
            "{} of {}: {}.",
            format::count(i64::try_from(late.len()).unwrap_or(i64::MAX)),
            format::count(i64::try_from(signs.slos.len()).unwrap_or(i64::MAX)),
            named(late.iter().map(|slo| slo.name.as_str()))
        )],
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

/// Finds negative counts: a defect of the service, or of how the database was restored.
fn inconsistent_counts(signs: &HealthInputs) -> Option<Finding> {
    let inconsistent: Vec<&str> = signs
        .slos
        .iter()
        .filter(|slo| slo.is_inconsistent)
        .map(|slo| slo.name.as_str())
        .collect();
    (!inconsistent.is_empty()).then(|| Finding {
        key: "throughline/inconsistent-counts".to_owned(),
        severity: Severity::Ticket,
        title: "counts of SLOs are inconsistent".to_owned(),
        lines: vec![
            format!("Of {}.", named(inconsistent.iter().copied())),
            "Their alerts stay as they are until the counts are consistent again.".to_owned(),
        ],
        hold_times: hold_times(MINUTE, MINUTE * 5),
        target: None,
    })
}

/// Finds deliveries that were missing. By design there are none, so an addition is a defect of the
/// service that must be noticed.
fn missing_deliveries(signs: &HealthInputs) -> Option<Finding> {
    let at = signs.last_repair_at?;
    (signs.now.saturating_since(at) < REPAIR_IS_NEWS).then(|| Finding {
        key: "throughline/missing-deliveries".to_owned(),
        severity: Severity::Ticket,
        title: "notifications were missing and have been added".to_owned(),
        lines: vec![
            format!("Last on {}.", format::date_time(at)),
            "This should never happen: please report it, with the log of that time.".to_owned(),
        ],
        hold_times: hold_times(Duration::ZERO, Duration::ZERO),
        target: None,
    })
}

fn clocks_apart(signs: &HealthInputs) -> Option<Finding> {
    let apart: Vec<String> = signs
        .replicas
        .iter()
        .map(|replica| {
            let apart = Duration::from_millis(replica.ahead_ms.unsigned_abs());
            (replica, apart)
        })
        .filter(|(_, apart)| *apart > CLOCKS_APART)
        .map(|(replica, apart)| {
            let by = format::duration(apart);
            let way = if replica.ahead_ms > 0 {
                "ahead of"
            } else {
                "behind"
            };
            format!(
                "The machine of replica {:x} is {by} {way} the database.",
                replica.id
            )
        })
        .collect();
    (!apart.is_empty()).then(|| Finding {
        key: "throughline/clock-skew".to_owned(),
        severity: Severity::Ticket,
        title: "clocks differ by more than 30 s, so one of them is wrong".to_owned(),
        lines: apart,
        hold_times: hold_times(MINUTE, MINUTE * 5),
        target: None,
    })
}

/// Finds definitions with an error, or missing files: the SLOs are not monitored as their owners
/// believe.
fn definitions_refused(signs: &HealthInputs) -> Option<Finding> {
    // Replicas read the same files, so most problems are found by all of them.
    let lines = sentences(signs, |replica| &replica.definition_problems);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/definitions-refused".to_owned(),
        severity: Severity::Ticket,
        title: "changed definitions are not applied, the previous ones stay active".to_owned(),
        lines,
        // Files that are copied one after the other are complete within a minute.
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

/// Finds rejected senders. They repeat the rejected requests, and their spans are missing in the
/// counts.
fn senders_refused(signs: &HealthInputs) -> Option<Finding> {
    let lines = sentences(signs, |replica| &replica.rejected_senders);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/sender-refused".to_owned(),
        severity: Severity::Ticket,
        title: "requests of a sender are rejected, so its spans are lost".to_owned(),
        lines,
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

/// Finds that logins fail. Users who are logged in are not affected.
fn logins_unavailable(signs: &HealthInputs) -> Option<Finding> {
    let lines = sentences(signs, |replica| &replica.login_problems);
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/login-unavailable".to_owned(),
        severity: Severity::Ticket,
        title: "no one can log in at the OpenID Connect provider".to_owned(),
        lines,
        hold_times: hold_times(MINUTE, MINUTE),
        target: None,
    })
}

/// Returns the sentences of all replicas, each once, and the first ones if there are too many.
fn sentences(signs: &HealthInputs, of: fn(&ReplicaSign) -> &Vec<String>) -> Vec<String> {
    let all: BTreeSet<&str> = signs
        .replicas
        .iter()
        .flat_map(of)
        .map(String::as_str)
        .collect();
    let shown = all.iter().take(MOST_NAMED);
    let mut lines: Vec<String> = shown.map(|&sentence| sentence.to_owned()).collect();
    let rest = all.len().saturating_sub(MOST_NAMED);
    if rest > 0 {
        lines.push(format!("And {rest} more."));
    }
    lines
}

/// Finds clean-ups that are behind. Nothing is lost, but the disk fills up.
fn retention_behind(signs: &HealthInputs) -> Option<Finding> {
    let lines: Vec<String> = signs
        .clean_ups
        .iter()
        .filter(|sign| signs.now.saturating_since(sign.finished_at) > NOT_CLEANED)
        .map(|sign| {
            format!(
                "`{}` last finished on {}.",
                sign.clean_up.as_str(),
                format::date_time(sign.finished_at)
            )
        })
        .collect();
    (!lines.is_empty()).then(|| Finding {
        key: "throughline/retention-behind".to_owned(),
        severity: Severity::Ticket,
        title: "expired data is not deleted, so the disk fills up".to_owned(),
        lines,
        // After a long stop there is more to remove than usual.
        hold_times: hold_times(MINUTE * 30, MINUTE),
        target: None,
    })
}

/// Finds a long silence: a forgotten one suppresses notifications that it was never meant for.
fn long_silence(silence: &SilenceSign) -> Option<Finding> {
    (silence.lasts > LONG_SILENCE).then(|| Finding {
        key: format!("throughline/silence/{}", silence.id.simple()),
        severity: Severity::Ticket,
        title: "a silence lasts for more than 7 d".to_owned(),
        lines: vec![
            format!("It ends on {}.", format::date_time(silence.ends_at)),
            format!("Reason: {}", silence.reason),
            format!(
                "Created by {}.",
                silence.created_by.as_deref().unwrap_or("an unknown person")
            ),
        ],
        hold_times: hold_times(Duration::ZERO, Duration::ZERO),
        target: None,
    })
}

fn named<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let shown: Vec<String> = names
        .take(MOST_NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let rest = match count.saturating_sub(MOST_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}{rest}", shown.join(", "))
}

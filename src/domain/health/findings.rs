//! What is wrong with the service itself, by its signs of life.

use std::time::Duration;

use super::{HealthInputs, HoldTimes, SilenceSign, TargetSign};
use crate::domain::{
    model::{format, ids::Name},
    slo::Severity,
};

/// All replicas go by the database's clock. Receivers refuse what it signs five minutes off, and spans
/// are stamped by machines.
const CLOCKS_APART_MS: u64 = 30_000;
/// A page that waits for two minutes was meant for somebody who sleeps on.
const PAGE_WAITS: Duration = Duration::from_mins(2);
/// What carries no page may take its time, but not for ever.
const FAILS: Duration = Duration::from_mins(10);
/// Senders send in batches and pause; five minutes without a single span are no pause.
const SILENCE: Duration = Duration::from_mins(5);
/// Fewer may be missing by chance.
const USUAL_EVENTS: i64 = 10;
const LONG_SILENCE: Duration = Duration::from_hours(7 * 24);
/// For so long a repair is something that somebody should look into.
const REPAIR_IS_NEWS: Duration = Duration::from_hours(1);
const MOST_NAMED: usize = 10;

const MINUTE: Duration = Duration::from_mins(1);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The same as long as it is about the same.
    pub key: String,
    pub severity: Severity,
    /// A sentence without a full stop that stays true while it lasts.
    pub title: String,
    pub lines: Vec<String>,
    pub patience: HoldTimes,
    /// The target that it is about: nobody is told of it by that target alone.
    pub target: Option<Name>,
}

/// All that is wrong now, each key once.
pub fn findings(signs: &HealthInputs) -> Vec<Finding> {
    let mut found = Vec::new();
    for target in &signs.targets {
        found.extend(broken(target));
        found.extend(failing(signs, target));
    }
    found.extend(dead_letters(signs));
    found.extend(data_stopped(signs));
    found.extend(evaluator_behind(signs));
    found.extend(nonsense(signs));
    found.extend(repaired(signs));
    found.extend(clocks_apart(signs));
    found.extend(signs.silences.iter().filter_map(long_silence));
    found
}

const fn patience(before_open: Duration, before_resolve: Duration) -> HoldTimes {
    HoldTimes {
        before_open,
        before_resolve,
    }
}

fn broken(target: &TargetSign) -> Option<Finding> {
    let since = target.broken_since?;
    let name = &target.name;
    Some(Finding {
        key: format!("throughline/target/{name}/misconfigured"),
        severity: Severity::Page,
        title: format!("target `{name}` is broken, somebody must mend its configuration"),
        lines: vec![
            format!("Since {}.", format::date_time(since)),
            waiting(target),
            "The page of the targets has its last answers; it is probed every now and then."
                .to_owned(),
        ],
        patience: patience(Duration::ZERO, MINUTE),
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
        title: format!("target `{name}` is not reached"),
        lines: vec![
            format!("Every try has failed since {}.", format::date_time(since)),
            waiting(target),
        ],
        patience: patience(Duration::ZERO, MINUTE * 5),
        target: Some(name.clone()),
    })
}

fn waiting(target: &TargetSign) -> String {
    match target.waiting {
        0 => "Nothing waits for it.".to_owned(),
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
        title: "notifications were given up".to_owned(),
        lines: vec![
            format!(
                "{} within the last day, for {}.",
                format::counted(dead.count, "notification"),
                named(dead.targets.iter().map(String::as_str))
            ),
            "The page of the deliveries says why, and sends them again.".to_owned(),
        ],
        patience: patience(Duration::ZERO, MINUTE),
        target: None,
    })
}

/// Of everybody who sends, not of one SLO: those hold their verdicts meanwhile.
fn data_stopped(signs: &HealthInputs) -> Option<Finding> {
    let silence = signs.silence().filter(|silence| *silence >= SILENCE)?;
    let usual = signs.usual_events.filter(|usual| *usual >= USUAL_EVENTS)?;
    let heard_at = signs.last_span_at?;
    Some(Finding {
        key: "throughline/data-stopped".to_owned(),
        severity: Severity::Page,
        title: "no spans arrive from anybody".to_owned(),
        lines: vec![
            format!(
                "Nothing has arrived since {} ({}); {} were usual in that time.",
                format::date_time(heard_at),
                format::lasting(silence),
                format::counted(usual, "event")
            ),
            "Alerts that fire go on firing; none of the SLOs can be judged until spans arrive."
                .to_owned(),
        ],
        patience: patience(Duration::ZERO, MINUTE),
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
        patience: patience(MINUTE, MINUTE),
        target: None,
    })
}

/// Counts below zero are a mistake of ours, or of whoever restored the database.
fn nonsense(signs: &HealthInputs) -> Option<Finding> {
    let absurd: Vec<&str> = signs
        .slos
        .iter()
        .filter(|slo| slo.is_absurd)
        .map(|slo| slo.name.as_str())
        .collect();
    (!absurd.is_empty()).then(|| Finding {
        key: "throughline/inconsistent-counts".to_owned(),
        severity: Severity::Ticket,
        title: "counts of SLOs cannot be true".to_owned(),
        lines: vec![
            format!("Of {}.", named(absurd.iter().copied())),
            "Their alerts stay as they are until the counts make sense again.".to_owned(),
        ],
        patience: patience(MINUTE, MINUTE * 5),
        target: None,
    })
}

/// None is ever needed by the rules, so one is a mistake of ours that must not stay unnoticed.
fn repaired(signs: &HealthInputs) -> Option<Finding> {
    let at = signs.last_repair_at?;
    (signs.now.saturating_since(at) < REPAIR_IS_NEWS).then(|| Finding {
        key: "throughline/missing-deliveries".to_owned(),
        severity: Severity::Ticket,
        title: "notifications were missing and have been sent after all".to_owned(),
        lines: vec![
            format!("Last on {}.", format::date_time(at)),
            "This should never happen: please report it, with the log of that time.".to_owned(),
        ],
        patience: patience(Duration::ZERO, Duration::ZERO),
        target: None,
    })
}

fn clocks_apart(signs: &HealthInputs) -> Option<Finding> {
    let apart: Vec<String> = signs
        .replicas
        .iter()
        .filter(|replica| replica.ahead_ms.unsigned_abs() > CLOCKS_APART_MS)
        .map(|replica| {
            let by = format::duration(Duration::from_millis(replica.ahead_ms.unsigned_abs()));
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
        patience: patience(MINUTE, MINUTE * 5),
        target: None,
    })
}

/// A silence that was forgotten hides what it was never meant for.
fn long_silence(silence: &SilenceSign) -> Option<Finding> {
    (silence.lasts > LONG_SILENCE).then(|| Finding {
        key: format!("throughline/silence/{}", silence.id.simple()),
        severity: Severity::Ticket,
        title: "a silence lasts for more than 7 d".to_owned(),
        lines: vec![
            format!("It ends on {}.", format::date_time(silence.ends_at)),
            format!("Reason: {}", silence.reason),
            format!(
                "Asked for by {}.",
                silence
                    .created_by
                    .as_deref()
                    .unwrap_or("nobody who is known")
            ),
        ],
        patience: patience(Duration::ZERO, Duration::ZERO),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        health::{DeadLetters, ReplicaSign, SloSign},
        model::time::Timestamp,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_328_309);

    fn well() -> HealthInputs {
        HealthInputs::of_a_healthy_service(NOW, Duration::from_secs(5))
    }

    fn ago(secs: u64) -> Timestamp {
        NOW - Duration::from_secs(secs)
    }

    fn target() -> TargetSign {
        TargetSign {
            name: "oncall".parse().unwrap(),
            failing_since: None,
            broken_since: None,
            page_waits_since: None,
            waiting: 3,
        }
    }

    fn keys(signs: &HealthInputs) -> Vec<String> {
        findings(signs).into_iter().map(|found| found.key).collect()
    }

    #[test]
    fn nothing_is_wrong_with_a_service_that_is_well() {
        let signs = HealthInputs {
            targets: vec![target()],
            replicas: vec![ReplicaSign {
                id: 7,
                ahead_ms: -29_000,
            }],
            last_span_at: Some(ago(299)),
            usual_events: Some(1_000),
            ..well()
        };
        assert_eq!(keys(&signs), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_keeps_a_page_waiting_is_told_of_sooner_than_one_that_does_not() {
        let of = |failing, page| HealthInputs {
            targets: vec![TargetSign {
                failing_since: Some(ago(failing)),
                page_waits_since: page,
                ..target()
            }],
            ..well()
        };
        assert_eq!(keys(&of(130, None)).len(), 0);
        assert_eq!(keys(&of(130, Some(ago(119)))).len(), 0);
        let found = findings(&of(130, Some(ago(120))));
        assert_eq!(found[0].key, "throughline/target/oncall/failing");
        assert_eq!(found[0].severity, Severity::Page);
        assert_eq!(found[0].lines[1], "3 notifications wait for it.");
        assert_eq!(findings(&of(600, None))[0].severity, Severity::Ticket);
    }

    #[test]
    fn t36_a_broken_target_is_told_of_at_once_and_as_being_about_itself() {
        let signs = HealthInputs {
            targets: vec![TargetSign {
                broken_since: Some(ago(1)),
                ..target()
            }],
            ..well()
        };
        let found = findings(&signs);
        assert_eq!(found[0].key, "throughline/target/oncall/misconfigured");
        assert_eq!(found[0].target.as_ref().unwrap().as_str(), "oncall");
        assert_eq!(found[0].patience.before_open, Duration::ZERO);
    }

    #[test]
    fn t02_silence_is_one_finding_of_the_whole_and_only_where_it_is_unusual() {
        let of = |silence, usual| HealthInputs {
            last_span_at: Some(ago(silence)),
            usual_events: usual,
            ..well()
        };
        assert_eq!(keys(&of(300, Some(10))), ["throughline/data-stopped"]);
        for quiet in [of(299, Some(10)), of(3_600, Some(9)), of(3_600, None)] {
            assert_eq!(keys(&quiet).len(), 0, "{quiet:?}");
        }
    }

    #[test]
    fn t04_clocks_that_differ_by_more_than_half_a_minute_are_told_of() {
        let of = |ahead_ms| HealthInputs {
            replicas: vec![ReplicaSign { id: 255, ahead_ms }],
            ..well()
        };
        assert_eq!(keys(&of(30_000)).len(), 0);
        let found = findings(&of(-90_000));
        assert_eq!(
            found[0].lines,
            ["The machine of replica ff is 1 min 30 s behind the database."]
        );
    }

    #[test]
    fn t34_a_silence_of_more_than_a_week_is_told_of() {
        let of = |days: u64| HealthInputs {
            silences: vec![SilenceSign {
                id: uuid::Uuid::from_u128(7),
                reason: "upgrade".to_owned(),
                created_by: None,
                lasts: Duration::from_hours(24 * days),
                ends_at: NOW + MINUTE,
            }],
            ..well()
        };
        assert_eq!(keys(&of(7)).len(), 0);
        let key = "throughline/silence/00000000000000000000000000000007";
        assert_eq!(keys(&of(8)), [key]);
    }

    #[test]
    fn counts_that_cannot_be_true_are_told_of() {
        let of = |is_absurd| HealthInputs {
            slos: vec![SloSign {
                name: "orders".parse().unwrap(),
                evaluated_at: Some(NOW),
                is_absurd,
            }],
            ..well()
        };
        assert_eq!(keys(&of(false)).len(), 0);
        let found = findings(&of(true));
        assert_eq!(found[0].key, "throughline/inconsistent-counts");
        assert_eq!(found[0].lines[0], "Of `orders`.");
    }

    #[test]
    fn a_repair_is_told_of_for_an_hour() {
        let of = |secs| HealthInputs {
            last_repair_at: Some(ago(secs)),
            ..well()
        };
        assert_eq!(keys(&of(3_599)), ["throughline/missing-deliveries"]);
        assert_eq!(keys(&of(3_600)).len(), 0);
    }

    #[test]
    fn what_was_given_up_and_what_is_not_evaluated_is_named() {
        let signs = HealthInputs {
            dead_letters: DeadLetters {
                count: 2,
                unseen: 0,
                targets: vec!["oncall".to_owned()],
            },
            slos: vec![SloSign {
                name: "orders".parse().unwrap(),
                evaluated_at: Some(ago(31)),
                is_absurd: false,
            }],
            ..well()
        };
        let found = findings(&signs);
        assert_eq!(
            found[0].lines[0],
            "2 notifications within the last day, for `oncall`."
        );
        assert_eq!(found[1].lines[0], "1 of 1: `orders`.");
    }
}

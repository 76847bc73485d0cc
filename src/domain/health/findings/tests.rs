//! Tests of findings, and of healthy inputs without any.

use super::*;
use crate::domain::{
    health::{CleanUp, CleanUpSign, DeadLetters, LogSign, ReplicaSign, SloSign},
    model::time::Timestamp,
    workflow::watermark::Watermark,
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
            ..ReplicaSign::default()
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
    assert_eq!(found[0].hold_times.before_open, Duration::ZERO);
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
fn a_clean_up_that_does_not_come_to_its_end_is_told_of_with_its_name() {
    let of = |secs| HealthInputs {
        clean_ups: vec![
            CleanUpSign {
                clean_up: CleanUp::Counts,
                finished_at: ago(3_600),
            },
            CleanUpSign {
                clean_up: CleanUp::Epochs,
                finished_at: ago(secs),
            },
        ],
        ..well()
    };
    assert_eq!(keys(&of(3 * 3_600)).len(), 0);
    let found = findings(&of(3 * 3_600 + 1));
    assert_eq!(found[0].key, "throughline/retention-behind");
    assert_eq!(found[0].lines.len(), 1);
    assert!(found[0].lines[0].starts_with("`clean_up_epochs` last finished on "));
}

#[test]
fn silence_says_nothing_before_senders_had_their_time_after_an_outage() {
    let of = |heartbeat_at, catching_up_until| HealthInputs {
        last_span_at: Some(ago(7_200)),
        usual_events: Some(10),
        watermark: Some(Watermark {
            up_to: ago(7_200),
            heartbeat_at,
            catching_up_until,
        }),
        ..well()
    };
    let before_the_first_beat = of(ago(7_200), ago(9_000));
    let while_they_catch_up = of(ago(1), NOW + Duration::from_secs(1));
    for quiet in [before_the_first_beat, while_they_catch_up] {
        assert_eq!(keys(&quiet).len(), 0, "{quiet:?}");
    }
    assert_eq!(keys(&of(ago(1), NOW)), ["throughline/data-stopped"]);
}

#[test]
fn t04_clocks_that_differ_by_more_than_half_a_minute_are_told_of() {
    let of = |ahead_ms| HealthInputs {
        replicas: vec![ReplicaSign {
            id: 255,
            ahead_ms,
            ..ReplicaSign::default()
        }],
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
fn s47_definitions_that_are_not_applied_are_one_finding_of_all_replicas() {
    let replica = |id, problems: &[&str]| ReplicaSign {
        id,
        ahead_ms: 0,
        definition_problems: problems.iter().map(|&text| text.to_owned()).collect(),
        ..ReplicaSign::default()
    };
    let of = |replicas| HealthInputs { replicas, ..well() };
    assert_eq!(keys(&of(vec![replica(1, &[])])).len(), 0);
    let found = findings(&of(vec![
        replica(1, &["the files declare no SLO", "b.yaml:1:1 wrong"]),
        replica(2, &["the files declare no SLO"]),
    ]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "throughline/definitions-refused");
    assert_eq!(
        found[0].lines,
        ["b.yaml:1:1 wrong", "the files declare no SLO"]
    );
}

#[test]
fn a_sender_that_is_refused_is_named_once_with_the_reason() {
    let replica = |id, senders: &[&str]| ReplicaSign {
        id,
        ahead_ms: 0,
        rejected_senders: senders.iter().map(|&text| text.to_owned()).collect(),
        ..ReplicaSign::default()
    };
    let senders = ["10.0.0.7: `br` is not an encoding that is understood."];
    let found = findings(&HealthInputs {
        replicas: vec![replica(1, &senders), replica(2, &senders)],
        ..well()
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "throughline/sender-refused");
    assert_eq!(found[0].lines, senders);
}

#[test]
fn a_provider_that_lets_nobody_log_in_is_one_finding_of_all_replicas() {
    let replica = |id| ReplicaSign {
        id,
        ahead_ms: 0,
        login_problems: vec!["https://id.example does not answer.".to_owned()],
        ..ReplicaSign::default()
    };
    let found = findings(&HealthInputs {
        replicas: vec![replica(1), replica(2)],
        ..well()
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "throughline/login-unavailable");
    assert_eq!(found[0].lines, ["https://id.example does not answer."]);
}

#[test]
fn a_certificate_that_has_expired_pages_and_one_that_expires_soon_does_not() {
    let expired = vec!["The certificate `a.pem` of otlp expired.".to_owned()];
    let expiring = vec!["The certificate `b.pem` of pages expires.".to_owned()];
    let found = findings(&HealthInputs {
        replicas: vec![ReplicaSign {
            certificates_expired: expired.clone(),
            certificates_expiring: expiring.clone(),
            ..ReplicaSign::default()
        }],
        ..well()
    });
    let found: Vec<_> = found
        .into_iter()
        .map(|found| (found.key, found.severity, found.lines))
        .collect();
    let key = |name| format!("throughline/certificate-{name}");
    assert_eq!(
        found,
        [
            (key("expired"), Severity::Page, expired),
            (key("expires"), Severity::Ticket, expiring),
        ]
    );
}

#[test]
fn a_topic_that_is_not_read_as_it_should_is_one_finding_of_all_replicas() {
    let replica = |id| ReplicaSign {
        id,
        ahead_ms: 0,
        kafka_problems: vec!["Topic `spans` does not exist.".to_owned()],
        ..ReplicaSign::default()
    };
    let found = findings(&HealthInputs {
        replicas: vec![replica(1), replica(2)],
        ..well()
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "throughline/kafka");
    assert_eq!(found[0].lines, ["Topic `spans` does not exist."]);
}

#[test]
fn a_partition_that_is_read_late_or_by_nobody_is_told_of_with_how_much_waits() {
    let of = |late_secs, seen_secs| HealthInputs {
        logs: vec![LogSign {
            topic: "spans".to_owned(),
            partition: 3,
            lag: 12_000,
            up_to: ago(late_secs),
            seen_at: ago(seen_secs),
        }],
        ..well()
    };
    assert_eq!(keys(&of(299, 1)).len(), 0);
    let found = findings(&of(300, 1));
    assert_eq!(found[0].key, "throughline/kafka-behind");
    let line = &found[0].lines[0];
    assert!(
        line.starts_with("Partition 3 of `spans` is read up to "),
        "{line}"
    );
    assert!(line.ends_with("; 12,000 messages wait."), "{line}");
    let found = findings(&of(300, 61));
    assert!(found[0].lines[0].ends_with("; no replica reads it now."));
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
    let of = |is_inconsistent| HealthInputs {
        slos: vec![SloSign {
            name: "orders".parse().unwrap(),
            evaluated_at: Some(NOW),
            is_inconsistent,
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
            is_inconsistent: false,
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

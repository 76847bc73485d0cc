//! Tests of each possible problem of an installation.

use std::time::Duration;

use super::*;
use crate::domain::{model::time::Timestamp, slo::Severity};

fn healthy() -> DatabaseFacts {
    DatabaseFacts {
        address: "db:5432/slo".to_owned(),
        pooling: Pooling::None,
        version: "17.2".to_owned(),
        version_number: 170_002,
        takes_writes: true,
        may_create: true,
        schema: SchemaState::Current,
        max_connections: 97,
        others_connections: 10,
        timeouts: vec![("statement_timeout".to_owned(), Duration::from_hours(1))],
        settings_off: Vec::new(),
        size_bytes: 3_210_000_000,
        disk: Some(DiskSpace {
            free_bytes: 60_000_000_000,
            total_bytes: 100_000_000_000,
        }),
        clock_offset_ms: -20,
    }
}

/// Returns everything that is not OK, as check and result.
fn problems(found: &[Diagnosis]) -> Vec<(&str, DiagnosisResult)> {
    let bad = found.iter().filter(|one| one.result != DiagnosisResult::Ok);
    bad.map(|one| (one.check.as_str(), one.result)).collect()
}

#[test]
fn a_healthy_database_is_described() {
    let found = of_database(&healthy(), 24);
    assert_eq!(problems(&found), []);
    let text = |check| {
        let found = found.iter().find(|one| one.check == check);
        found.map(|one| one.text.as_str()).unwrap_or_default()
    };
    assert_eq!(text("database version"), "PostgreSQL 17.2");
    assert_eq!(
        text("database connections"),
        "the replicas need up to 24; PostgreSQL allows 97, and other clients use 10"
    );
    assert_eq!(
        text("database space"),
        "the database has 3.2 GB; 60.0 GB of 100.0 GB are free"
    );
}

/// Asserts that with this change the check has this result, and advice.
fn assert_found(check: &str, result: DiagnosisResult, change: impl FnOnce(&mut DatabaseFacts)) {
    let mut facts = healthy();
    change(&mut facts);
    let found = of_database(&facts, 24);
    assert_eq!(problems(&found), [(check, result)]);
    let has_advice = |one: &Diagnosis| one.advice.is_some();
    let is_ok = |one: &Diagnosis| one.result == DiagnosisResult::Ok;
    assert!(found.iter().all(|one| has_advice(one) != is_ok(one)));
}

#[test]
fn a_pooler_is_for_transactions() {
    let pooled = |pooling| move |facts: &mut DatabaseFacts| facts.pooling = pooling;
    let check = "database pooler";
    assert_found(check, DiagnosisResult::Warn, pooled(Pooling::Session));
    assert_found(check, DiagnosisResult::Fail, pooled(Pooling::Statement));
    let transaction = of_pooling(Pooling::Transaction);
    assert_eq!(transaction.result, DiagnosisResult::Ok);
}

#[test]
fn a_database_that_cannot_be_used_fails() {
    let fail = DiagnosisResult::Fail;
    assert_found("database version", fail, |facts| {
        facts.version_number = 140_011;
    });
    assert_found("database writes", fail, |facts| facts.takes_writes = false);
    assert_found("database permissions", fail, |facts| {
        facts.may_create = false;
    });
    assert_found("database schema", fail, |facts| {
        facts.schema = SchemaState::Foreign;
    });
    assert_found("database space", fail, |facts| {
        facts.disk.as_mut().unwrap().free_bytes = 4_000_000_000;
    });
}

#[test]
fn a_database_that_may_fail_later_is_warned_of() {
    let warn = DiagnosisResult::Warn;
    assert_found("database schema", warn, |facts| {
        facts.schema = SchemaState::Incomplete;
    });
    assert_found("database connections", warn, |facts| {
        facts.others_connections = 90;
    });
    assert_found("database timeouts", warn, |facts| {
        facts.timeouts[0].1 = Duration::from_secs(30);
    });
    for (setting, check) in [
        ("autovacuum", "database autovacuum"),
        ("track_counts", "database autovacuum"),
        ("fsync", "database durability"),
    ] {
        assert!(EXPECTED_ON.contains(&setting));
        assert_found(check, warn, |facts| {
            facts.settings_off.push(setting.to_owned());
        });
    }
    assert_found("database space", warn, |facts| {
        facts.disk.as_mut().unwrap().free_bytes = 15_000_000_000;
    });
    assert_found("clocks", warn, |facts| facts.clock_offset_ms = -31_000);
}

fn running() -> ServiceFacts {
    let now = Timestamp::from_secs(1_795_328_309);
    ServiceFacts {
        now,
        replicas: 2,
        last_span_at: Some(now - Duration::from_secs(3)),
        open_checks: Vec::new(),
    }
}

#[test]
fn a_running_service_is_described() {
    let found = of_service(&running());
    assert_eq!(problems(&found), []);
    let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "2 replicas run",
            "the last span was received 3 s ago",
            "the service finds no problem of its own"
        ]
    );
}

#[test]
fn a_service_that_does_not_run_and_senders_that_do_not_send_are_warned_of() {
    let away = ServiceFacts {
        replicas: 0,
        last_span_at: None,
        open_checks: vec![(Severity::Page, "old".to_owned())],
        ..running()
    };
    let warn = DiagnosisResult::Warn;
    assert_eq!(
        problems(&of_service(&away)),
        [("service", warn), ("senders", warn)]
    );
    let quiet = ServiceFacts {
        last_span_at: Some(running().now - Duration::from_hours(25)),
        ..running()
    };
    assert_eq!(problems(&of_service(&quiet)), [("senders", warn)]);
}

#[test]
fn what_the_service_finds_itself_is_a_line_each() {
    let ill = ServiceFacts {
        open_checks: vec![
            (
                Severity::Page,
                "target `oncall` cannot be reached".to_owned(),
            ),
            (
                Severity::Ticket,
                "counts of SLOs are inconsistent".to_owned(),
            ),
        ],
        ..running()
    };
    let found = of_service(&ill);
    assert_eq!(
        problems(&found),
        [
            ("self-checks", DiagnosisResult::Fail),
            ("self-checks", DiagnosisResult::Warn)
        ]
    );
}

fn topic_that_is_read() -> KafkaFacts {
    let now = running().now;
    KafkaFacts {
        topic: "otlp_spans".to_owned(),
        group: "throughline".to_owned(),
        partitions: 6,
        replicas: 2,
        reader: GroupReader::ThisInstallation,
        ahead: Some(Duration::from_secs(2)),
        lag: 1,
        read_up_to: Some(now - Duration::from_secs(3)),
        now,
    }
}

#[test]
fn a_topic_that_is_read_is_described() {
    let found = of_kafka(&topic_that_is_read());
    assert_eq!(problems(&found), []);
    let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "`otlp_spans` has 6 partitions",
            "this installation alone reads by `throughline`",
            "no broker has appended messages in the future",
            "1 message waits; all partitions are read up to 3 s ago",
        ]
    );
}

#[test]
fn each_problem_of_a_topic_is_found_alone() {
    type Change = fn(&mut KafkaFacts);
    let (warn, fail) = (DiagnosisResult::Warn, DiagnosisResult::Fail);
    let changes: [(&str, DiagnosisResult, Change); 8] = [
        ("kafka topic", warn, |facts| facts.partitions = 1),
        ("kafka group", fail, |facts| {
            facts.reader = GroupReader::Another("1".to_owned());
        }),
        ("kafka group", warn, |facts| {
            facts.reader = GroupReader::AnotherProgram;
        }),
        ("kafka group", warn, |facts| {
            facts.reader = GroupReader::Unknown;
        }),
        ("kafka clock", warn, |facts| {
            facts.ahead = Some(Duration::from_secs(31));
        }),
        ("kafka lag", warn, |facts| {
            facts.read_up_to = Some(facts.now - Duration::from_mins(5));
        }),
        ("kafka lag", warn, |facts| facts.read_up_to = None),
        ("kafka lag", warn, |facts| {
            (facts.lag, facts.read_up_to) = (0, None);
        }),
    ];
    for (check, result, change) in changes {
        let mut facts = topic_that_is_read();
        change(&mut facts);
        let found = of_kafka(&facts);
        assert_eq!(problems(&found), [(check, result)], "{facts:?}");
        assert!(
            found
                .iter()
                .all(|one| one.advice.is_some() == (one.result != DiagnosisResult::Ok))
        );
    }
    let mut idle = topic_that_is_read();
    (idle.lag, idle.ahead) = (0, None);
    idle.read_up_to = Some(idle.now - Duration::from_hours(3));
    assert_eq!(problems(&of_kafka(&idle)), [], "nothing waits");
}

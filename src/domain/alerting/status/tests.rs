//! Statuses of SLOs, with simple numbers.

use std::collections::BTreeMap;

use super::*;
use crate::domain::{
    alerting::{
        alert::AlertProgress,
        burn_rate::{Ageing, steps},
        condition::{self, Signal},
        rule_status::Freshness,
        settled::SettledCounts,
    },
    counting::series::{Series, SeriesPoint},
    model::{
        counts::StartSpans,
        ids::Name,
        span::{AttributeName, AttributeScope},
    },
    slo::{AlertRule, Alerting, Correlator, Indicator, SpanIndicator, WorkflowIndicator},
    traceql::Selector,
};

const DAY: Duration = Duration::from_hours(24);

pub(super) fn slo() -> Slo {
    let name: Name = "orders".parse().unwrap();
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = Indicator::Span(SpanIndicator::new(selector.clone(), selector));
    Slo {
        grace: Duration::ZERO,
        alerting: Alerting {
            rules: vec![AlertRule {
                name: "fast-burn".parse().unwrap(),
                severity: Severity::Page,
                factor: 13.44,
                long: LAST_HOUR,
                short: Duration::from_mins(5),
                pending_for: Duration::ZERO,
            }],
            ..Alerting::default()
        },
        ..Slo::new(name, "99%".parse().unwrap(), DAY * 28, indicator)
    }
}

pub(super) fn counts(total: i64, bad: i64) -> EventCounts {
    EventCounts {
        good: total - bad,
        timeout: bad,
        ..EventCounts::ZERO
    }
}

/// Makes a thousand good events an hour.
fn calm(at: Timestamp) -> Ageing {
    let (_, step) = steps(DAY * 28);
    let range = Ageing::range(DAY * 28, at);
    let starts = std::iter::successors(Some(range.from), |at| Some(*at + step));
    let starts = starts.take_while(|at| *at < range.to);
    let points = starts.map(|at| SeriesPoint {
        at,
        counts: counts(3_000, 0),
    });
    Ageing::new(&Series::new(range, step, &points.collect::<Vec<_>>()))
}

pub(super) fn measured(window: EventCounts, hour: EventCounts, minutes: EventCounts) -> Measured {
    let at = Timestamp::from_secs(1_790_000_000);
    Measured {
        at,
        first_event_at: Some(at - DAY * 40),
        has_ended: true,
        nearest_finish: None,
        finish_unmatched_since: None,
        counts: BTreeMap::from([
            (DAY * 28, window),
            (LAST_HOUR, hour),
            (Duration::from_mins(5), minutes),
        ]),
        ends_missing: BTreeMap::new(),
        expected_ends: None,
        settled: None,
        in_period: EventCounts::ZERO,
        starts: StartSpans::default(),
        in_incident: None,
        ageing: calm(at),
        time_used: TimeUsed::new([(3, 5), (20, 2)]),
        overdue: 2,
        customers_affected: 3,
        customers_total: None,
        customers: BTreeMap::new(),
        freshness: Freshness::Fresh,
    }
}

fn status(measured: &Measured, alerts: &[AlertState]) -> SloStatus {
    let slo = slo();
    let alerts = alerts.iter().map(|&state| AlertStatus {
        began_at: None,
        severity: Severity::Page,
        state,
        since: measured.at,
        rule: None,
        progress: AlertProgress::default(),
    });
    let rules = measured.rule_statuses(&slo);
    SloStatus::new(&slo, measured, rules, alerts.collect())
}

#[test]
fn every_look_back_is_asked_for_once() {
    let lengths: Vec<_> = lookback_windows(&slo())
        .iter()
        .map(Duration::as_secs)
        .collect();
    assert_eq!(lengths, [300, 3_600, 28 * 86_400]);
}

#[test]
fn the_numbers_agree_with_the_formulae() {
    let hour = counts(3_000, 150);
    let status = status(&measured(counts(672_000, 1_680), hour, hour), &[]);
    let close = |actual: Option<f64>, expected: f64| {
        assert!((actual.unwrap() - expected).abs() < 1e-9, "{actual:?}");
    };
    close(status.burn_rate, 15.0);
    close(status.budget_remaining, 0.75);
    close(status.rules[0].long.burn_rate, 15.0);
    assert_eq!(status.budget_empty_in_secs, Some(28 * 86_400 / 20));
    assert_eq!((status.time_used.in_flight(), status.overdue), (7, 2));
    assert_eq!(status.customers_affected, None);
}

#[test]
fn the_state_is_the_worst_that_holds() {
    let (all, quiet) = (counts(672_000, 10), counts(1_000, 0));
    let calm = measured(all, quiet, quiet);
    let rising = measured(all, counts(1_000, 4), counts(10, 4));
    assert_eq!(status(&calm, &[]).state, SloState::Ok);
    assert_eq!(status(&calm, &[AlertState::Firing]).state, SloState::Paging);
    assert_eq!(
        status(&calm, &[AlertState::Recovering]).state,
        SloState::Recovering
    );
    assert_eq!(
        status(&rising, &[AlertState::Recovering]).state,
        SloState::Rising
    );
    assert_eq!(
        status(&rising, &[AlertState::Firing]).state,
        SloState::Paging
    );
}

#[test]
fn no_event_and_too_few_are_not_the_same_as_fine() {
    let none = EventCounts::ZERO;
    assert_eq!(
        status(&measured(none, none, none), &[]).state,
        SloState::NoData
    );
    let few = measured(counts(90, 0), none, none);
    assert_eq!(status(&few, &[]).state, SloState::TooFew);
}

#[test]
fn a_status_survives_its_json() {
    let status = status(
        &measured(counts(1_000, 1), counts(10, 1), EventCounts::ZERO),
        &[AlertState::Firing],
    );
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<SloStatus>(&json).unwrap(), status);
}

fn slo_by(correlate: Vec<Correlator>) -> Slo {
    let [start, finish] = ["start", "finish"]
        .map(|name| Selector::parse(&format!("{{ name = \"{name}\" }}")).unwrap());
    let workflow = WorkflowIndicator::new(start, finish, Duration::from_mins(1), correlate);
    Slo {
        indicator: Indicator::Workflow(workflow),
        ..slo()
    }
}

/// Evaluates a stall of the last minutes with a grace of three minutes: two of the last five
/// minutes are known.
fn looked_at_twice(now: EventCounts, settled: EventCounts) -> RuleStatus {
    let counts_of = |minutes| BTreeMap::from([(LAST_HOUR, counts(1_000, 30)), (FIVE, minutes)]);
    let at = Timestamp::from_secs(1_790_000_000);
    let measured = Measured {
        settled: Some(SettledCounts {
            up_to: at - Duration::from_mins(3),
            counts: counts_of(settled),
            ends_missing: BTreeMap::new(),
        }),
        ..measured(counts(100_000, 30), counts(1_000, 30), now)
    };
    measured.rule_statuses(&slo()).rules.remove(0)
}

const FIVE: Duration = Duration::from_mins(5);

#[test]
fn a_rule_burns_if_it_burns_where_all_timeouts_are_counted() {
    let rule = looked_at_twice(counts(80, 1), counts(80, 8));
    assert_eq!(rule.condition, BurnCondition::Burning);
    assert_eq!(
        rule.sentence(),
        "20× over the 1 h until 14:10 UTC and 67× over the 5 min until 14:10 UTC, limit 13.44×"
    );
    assert_eq!(
        rule.short.bad_sentence(),
        "8 of 80 bad in the 5 min until 14:10 UTC"
    );
}

#[test]
fn a_rule_is_clear_only_if_it_is_clear_where_all_timeouts_are_counted() {
    let clear = (counts(80, 0), counts(80, 0));
    let bad = counts(80, 40);
    let condition = |(now, settled)| looked_at_twice(now, settled).condition;
    assert_eq!(condition(clear), BurnCondition::Recovering);
    assert_eq!(condition((clear.0, bad)), BurnCondition::Burning);
    assert_eq!(condition((bad, clear.1)), BurnCondition::Burning);
    // A window without events shows nothing: the other one decides.
    let none = EventCounts::ZERO;
    assert_eq!(looked_at_twice(none, counts(80, 0)).short.burn_rate, None);
    assert_eq!(
        looked_at_twice(counts(80, 0), none).short.burn_rate,
        Some(0.0)
    );
}

fn ticket(starts: StartSpans) -> (Signal, String) {
    let attribute = AttributeName {
        scope: AttributeScope::Span,
        key: "order.id".to_owned(),
    };
    let slo = slo_by(vec![Correlator::Attribute {
        attribute,
        run: None,
    }]);
    let few = counts(50, 0);
    let measured = Measured {
        starts,
        ..measured(few, few, few)
    };
    let rules = measured.rule_statuses(&slo);
    let rule = rules.quality.iter().find(|rule| rule.lacking.is_some());
    let sentence = rule.map(ThresholdStatus::sentence).unwrap_or_default();
    let signal = condition::verdict(&rules, Severity::Ticket, Freshness::Fresh);
    (signal, sentence)
}

#[test]
fn s45_starts_that_name_no_workflow_open_a_ticket_that_says_what_they_lack() {
    let (signal, sentence) = ticket(StartSpans {
        correlated: 50,
        uncorrelated: 950,
    });
    let Signal::Breach(rules) = signal else {
        panic!("{signal:?}");
    };
    assert_eq!(rules[0].rule.as_str(), "uncorrelated-starts");
    assert_eq!(
        sentence,
        "95 % of start spans in 1 h have no span.order.id: their workflows are not monitored"
    );
}

#[test]
fn s45_few_starts_that_name_no_workflow_open_none() {
    let (signal, _) = ticket(StartSpans {
        correlated: 1_000,
        uncorrelated: 9,
    });
    assert_eq!(signal, Signal::Clear);
    let (signal, sentence) = ticket(StartSpans {
        correlated: 1_000,
        uncorrelated: 0,
    });
    assert_eq!((signal, sentence), (Signal::Clear, String::new()));
}

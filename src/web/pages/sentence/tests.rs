//! The first sentences of pages, state by state.

use std::sync::Arc;

use super::*;
use crate::{
    domain::{
        alerting::{
            alert::{AlertProgress, AlertState, AlertStatus},
            rule_status::{RuleStatus, WindowStatus},
            status::SloStatus,
            threshold::{ThresholdState, ThresholdStatus},
        },
        counting::time_used::TimeUsed,
        model::{counts::EventCounts, ids::SloId},
        slo::{Indicator, Limit, Severity, Slo, SpanIndicator},
        traceql::Selector,
    },
    store::SloRecord,
    web::pages::summary::StatusBadge,
};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:08:04Z").unwrap()
}

fn slo() -> Arc<Slo> {
    let selector = || Selector::parse("{ true }").unwrap();
    Arc::new(Slo {
        display_name: "Orders".to_owned(),
        ..Slo::new(
            "orders".parse().unwrap(),
            "99.5%".parse().unwrap(),
            Duration::from_hours(28 * 24),
            Indicator::Span(SpanIndicator::new(selector(), selector())),
        )
    })
}

fn status(state: SloState) -> SloStatus {
    let window = |secs, burn_rate| WindowStatus::new(secs, EventCounts::ZERO, Some(burn_rate));
    SloStatus {
        time_used: TimeUsed::new([(0, 63)]),
        evaluated_at: now(),
        state,
        window: EventCounts {
            good: 996_000,
            late: 4_000,
            ..EventCounts::ZERO
        },
        period: None,
        budget_remaining: Some(0.2),
        budget_remaining_at_worst: None,
        budget_empty_in_secs: Some(40_980),
        last_hour: EventCounts {
            good: 1_800,
            late: 120,
            failed: 21,
            timeout: 59,
            ..EventCounts::ZERO
        },
        burn_rate: Some(23.2),
        rules: vec![RuleStatus {
            name: "fast-burn".parse().unwrap(),
            severity: Severity::Page,
            factor: 13.44,
            pending_for: Duration::ZERO,
            long: window(3_600, 5.0),
            short: window(300, 29.0),
            at_worst: None,
            condition: BurnCondition::Rising,
        }],
        limits: Vec::new(),
        quality: Vec::new(),
        alerts: Vec::new(),
        in_incident: None,
        overdue: 9,
        customers_affected: Some(1),
        steady_ticks: 2,
        customers_total: None,
    }
}

fn summary(status: Option<SloStatus>) -> Summary {
    let record = SloRecord {
        id: SloId(1),
        name: "orders".parse().unwrap(),
        first_event_at: None,
        status,
    };
    Summary::new(&slo(), Some(&record))
}

#[test]
fn a_page_tells_since_when_how_fast_and_until_when() {
    let mut status = status(SloState::Paging);
    status.alerts = vec![AlertStatus {
        began_at: None,
        severity: Severity::Page,
        state: AlertState::Firing,
        since: now() - Duration::from_mins(19),
        rule: None,
        progress: AlertProgress::default(),
    }];
    let sentence = verdict(&summary(Some(status)), now());
    assert_eq!(
        sentence.lead,
        "Paging since 09:49, 19 min: the budget burns 23× too fast."
    );
    assert_eq!(
        sentence.rest,
        "At this rate the last 20 % is gone today 21:31 (in 11 h 23 min). In the last 1 h 200 of \
         2,000 were bad: 120 late, 59 never finished, 21 failed. Affected: 1 customer in the last hour."
    );
}

#[test]
fn a_spent_budget_is_told_in_events() {
    let mut status = status(SloState::Ticket);
    status.window = EventCounts {
        good: 993_000,
        late: 7_000,
        ..EventCounts::ZERO
    };
    status.budget_remaining = Some(-0.4);
    status.budget_empty_in_secs = None;
    let sentence = urgent(&summary(Some(status)), now()).unwrap();
    assert_eq!(sentence.lead, "has spent its budget (−40 %).");
    assert!(
        sentence
            .rest
            .contains("The budget is spent: 7,000 bad, 5,000 allowed."),
        "{sentence:?}"
    );
}

#[test]
fn a_rising_rule_is_named_with_both_windows() {
    let sentence = verdict(&summary(Some(status(SloState::Rising))), now());
    assert!(
        sentence.rest.starts_with(
            "The burn rate over the last 5 min is above 13.44×, over the last 1 h not yet: fast-burn fires \
             if this continues."
        ),
        "{sentence:?}"
    );
}

#[test]
fn no_data_is_not_called_healthy() {
    let mut none = status(SloState::NoData);
    none.window = EventCounts::ZERO;
    none.last_hour = EventCounts::ZERO;
    none.budget_remaining = None;
    none.budget_empty_in_secs = None;
    none.burn_rate = None;
    none.customers_affected = None;
    let sentence = verdict(&summary(Some(none)), now());
    assert_eq!(sentence.lead, "No data: no event in the last 28 d.");
    assert!(
        sentence.rest.starts_with("No data is not healthy"),
        "{sentence:?}"
    );
}

#[test]
fn too_few_events_are_explained_in_budgets() {
    let mut few = status(SloState::TooFew);
    few.window = EventCounts {
        good: 20,
        ..EventCounts::ZERO
    };
    let sentence = verdict(&summary(Some(few)), now());
    assert_eq!(
        sentence.lead,
        "Too few events to judge: with 20 events in 28 d, a single bad one would spend 10.0 times the budget."
    );
}

#[test]
fn a_quiet_slo_asks_nobody_to_look() {
    for state in [
        SloState::Ok,
        SloState::NoData,
        SloState::TooFew,
        SloState::Rising,
        SloState::Recovering,
    ] {
        assert_eq!(urgent(&summary(Some(status(state))), now()), None);
    }
    assert_eq!(urgent(&summary(None), now()), None);
    assert_eq!(verdict(&summary(None), now()).lead, "Not evaluated yet.");
}

#[test]
fn every_state_has_a_word_of_its_own_and_an_icon() {
    let states = [
        None,
        Some(SloState::Paging),
        Some(SloState::Ticket),
        Some(SloState::Rising),
        Some(SloState::Recovering),
        Some(SloState::NoData),
        Some(SloState::TooFew),
        Some(SloState::Ok),
    ];
    let mut words: Vec<&str> = states
        .iter()
        .map(|state| StatusBadge::of(*state).word)
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), states.len());
    let icons = include_str!("../../templates/parts/icons.html");
    for state in states {
        let symbol = format!("id=\"i-{}\"", StatusBadge::of(state).icon);
        assert!(icons.contains(&symbol), "{symbol}");
    }
}

#[test]
fn an_alert_of_a_limit_leads_with_the_limit_and_not_with_the_burn_rate() {
    let mut status = status(SloState::Paging);
    status.limits = vec![ThresholdStatus {
        name: "silent".parse().unwrap(),
        severity: Severity::Page,
        limit: Limit::Absence {
            length: Duration::from_mins(15),
        },
        pending_for: Duration::ZERO,
        value: Some(240.0),
        value_is_upper_bound: false,
        state: ThresholdState::Over,
        as_good: None,
        lacking: None,
        window: WindowStatus::new(900, EventCounts::ZERO, None),
    }];
    status.alerts = vec![AlertStatus {
        began_at: None,
        severity: Severity::Page,
        state: AlertState::Firing,
        since: now() - Duration::from_mins(19),
        rule: Some("silent".parse().unwrap()),
        progress: AlertProgress::default(),
    }];
    let slo = summary(Some(status));
    let told = "no event in 15 min, 240 in 1 h a week ago.";
    assert!(verdict(&slo, now()).lead.ends_with(told));
    let rest = urgent(&slo, now()).unwrap().rest;
    assert!(
        rest.starts_with(&format!("Over its limit: {told}")),
        "{rest}"
    );
}

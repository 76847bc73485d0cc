//! The vectors of exhaustion, the edges of every limit, and the law that one more bad event never
//! clears a rule.

use proptest::prelude::*;

use super::*;
use crate::domain::{alerting::burn_rate::PeriodSoFar, model::objective::Objective, slo::BurnKind};

const DAY: Duration = Duration::from_hours(24);

fn counts(total: i64, bad: i64) -> EventCounts {
    EventCounts {
        good: total - bad,
        late: bad,
        ..EventCounts::ZERO
    }
}

fn burn(objective: f64, window: Duration, in_window: EventCounts) -> BurnContext {
    BurnContext {
        objective: Objective::from_ratio(objective).unwrap(),
        kind: BurnKind::Budget,
        window,
        in_window,
        observed: window,
        period: None,
    }
}

/// Returns the status of `limit`, at a guard of five bad events.
fn status(limit: Limit, burn: &BurnContext, counts: &[(Duration, EventCounts)]) -> ThresholdStatus {
    of_customers(limit, burn, counts, &CustomersByLength::new())
}

fn of_customers(
    limit: Limit,
    burn: &BurnContext,
    counts: &[(Duration, EventCounts)],
    customers: &CustomersByLength,
) -> ThresholdStatus {
    let time_used = TimeUsed::new([(15, 40), (16, 11), (19, 7), (TIME_LIMIT_STEPS, 2)]);
    let rule = ThresholdRule {
        name: "rule".parse().unwrap(),
        severity: Severity::Page,
        limit,
        pending_for: Duration::ZERO,
    };
    let numbers = Numbers {
        burn,
        guard: Guard { bad_events: 5 },
        counts: &counts.iter().copied().collect(),
        customers,
        time_used: &time_used,
        freshness: Freshness::Fresh,
    };
    threshold_status(&rule, numbers)
}

/// Returns the spent budget, at an error budget of 1 % over 28 days.
fn spent(in_window: EventCounts) -> ThresholdStatus {
    let burn = burn(0.99, DAY * 28, in_window);
    status(Limit::BudgetSpent { over: 0.9 }, &burn, &[])
}

#[test]
fn a_budget_is_over_its_limit_at_the_limit_and_under_below_nine_tenths_of_it() {
    let state = |bad| spent(counts(100_000, bad)).state;
    assert_eq!(state(900), ThresholdState::Over);
    assert_eq!(state(2_000), ThresholdState::Over);
    assert_eq!(state(899), ThresholdState::Near);
    assert_eq!(state(810), ThresholdState::Near);
    assert_eq!(state(809), ThresholdState::Under);
    assert_eq!(state(0), ThresholdState::Under);
    assert!((spent(counts(100_000, 900)).value.unwrap() - 0.9).abs() < 1e-9);
}

#[test]
fn t06_four_bad_events_that_spend_a_budget_are_too_few_for_a_guard_of_five() {
    assert_eq!(spent(counts(100, 4)).state, ThresholdState::TooFew);
    assert_eq!(spent(counts(100, 5)).state, ThresholdState::Over);
}

#[test]
fn without_events_nothing_is_known_of_a_budget() {
    assert_eq!(spent(EventCounts::ZERO).state, ThresholdState::Unknown);
    let none = burn(0.99, DAY * 28, EventCounts::ZERO);
    let within = Duration::from_hours(4);
    let exhaustion = status(Limit::Exhaustion { within }, &none, &[]);
    assert_eq!(exhaustion.state, ThresholdState::Unknown);
}

/// Makes errors at this share since `minutes` ago, after a clean window: 99.95 % over 14 days,
/// exhausted within 6 hours, at a million events a minute.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most a million a minute for two weeks"
)]
fn exhaustion_after(error_share: f64, minutes: f64) -> ThresholdStatus {
    let per_minute = 1e6;
    let bad_in = |length: Duration| {
        let minutes = minutes.min(length.as_secs_f64() / 60.0);
        (minutes * per_minute * error_share).round() as i64
    };
    let counted = |length: Duration| {
        let total = (length.as_secs_f64() / 60.0 * per_minute) as i64;
        counts(total, bad_in(length))
    };
    let (window, look_back) = (DAY * 14, Duration::from_mins(90));
    let within = Duration::from_hours(6);
    status(
        Limit::Exhaustion { within },
        &burn(0.9995, window, counted(window)),
        &[(look_back, counted(look_back))],
    )
}

/// Computed from `P / 5B` if that is within the look-back, otherwise from `P / B - N`.
#[test]
fn exhaustion_fires_at_the_moments_of_its_formula() {
    let vectors = [
        (1.0, 2.016),
        (0.1, 20.16),
        (0.05, 40.32),
        (0.01, 10.8 * 60.0),
        (0.005, 27.6 * 60.0),
        (0.001, 162.0 * 60.0),
        (0.0005, 330.0 * 60.0),
    ];
    for (share, minutes) in vectors {
        let state = |minutes| exhaustion_after(share, minutes).state;
        assert_eq!(state(minutes * 1.001), ThresholdState::Over, "{share}");
        assert_ne!(state(minutes * 0.999), ThresholdState::Over, "{share}");
    }
}

#[test]
fn errors_slower_than_the_objective_never_exhaust_a_rolling_budget() {
    let long_after = exhaustion_after(0.0001, 1e6);
    assert_eq!(long_after.state, ThresholdState::Under);
    assert!(long_after.value.unwrap() > 14.0 * 86_400.0 * 0.8);
}

#[test]
fn a_budget_lasts_what_is_left_of_it_at_the_pace_of_the_look_back() {
    let (look_back, within) = (Duration::from_hours(1), Duration::from_hours(4));
    let state = |bad| {
        let burn = burn(0.99, DAY * 28, counts(1_000_000, 5_000));
        status(
            Limit::Exhaustion { within },
            &burn,
            &[(look_back, counts(5_000, bad))],
        )
    };
    // 5,000 bad events are left: 1,250 an hour spend them in exactly four.
    assert_eq!(state(1_250).state, ThresholdState::Over);
    assert!((state(1_250).value.unwrap() - 14_400.0).abs() < 1e-6);
    assert_eq!(state(1_249).state, ThresholdState::Near);
    assert_eq!(state(1_125).state, ThresholdState::Near);
    assert_eq!(state(1_124).state, ThresholdState::Under);
    assert_eq!(state(0).value, None);
    assert_eq!(state(0).state, ThresholdState::Under);
}

/// 5,000 bad events are left and 2,000 an hour are spent: the budget lasts two and a half hours.
#[test]
fn a_budget_that_outlasts_its_period_of_the_calendar_is_not_soon_gone() {
    let state = |rest| {
        let in_window = counts(1_000_000, 5_000);
        let burn = BurnContext {
            period: Some(PeriodSoFar {
                counts: in_window,
                rest,
            }),
            ..burn(0.99, DAY * 28, in_window)
        };
        let within = HOUR * 4;
        let recent = [(HOUR, counts(5_000, 2_000))];
        status(Limit::Exhaustion { within }, &burn, &recent).state
    };
    assert_eq!(state(HOUR), ThresholdState::Under);
    assert_eq!(state(HOUR * 8), ThresholdState::Over);
}

#[test]
fn a_quiet_look_back_has_no_pace_but_a_spent_budget_is_gone_all_the_same() {
    let exhaustion = |bad| {
        let burn = burn(0.99, DAY * 28, counts(1_000, bad));
        let within = Duration::from_hours(4);
        status(Limit::Exhaustion { within }, &burn, &[])
    };
    assert_eq!(exhaustion(6).state, ThresholdState::Unknown);
    assert_eq!(exhaustion(10).state, ThresholdState::Over);
    assert_eq!(exhaustion(10).value, Some(0.0));
}

#[test]
fn a_pace_is_taken_over_whole_minutes() {
    let minutes = |within| pace_length(Duration::from_mins(within)).as_secs() / 60;
    assert_eq!([15, 16, 240].map(minutes), [4, 4, 60]);
}

fn status_of_customers(count: BoundedCount, events: EventCounts) -> ThresholdStatus {
    let length = HOUR;
    let limit = Limit::Customers {
        affected: 10,
        length,
    };
    let burn = burn(0.99, DAY * 28, counts(1_000, 0));
    let count = CustomersByLength::from([(length, count)]);
    of_customers(limit, &burn, &[(length, events)], &count)
}

fn customers(affected: i64, events: EventCounts) -> ThresholdState {
    let count = BoundedCount {
        count: affected,
        is_upper_bound: false,
    };
    status_of_customers(count, events).state
}

#[test]
fn s33_customers_of_whom_only_the_number_is_known_are_the_largest_possible_number() {
    let count = BoundedCount {
        count: 12,
        is_upper_bound: true,
    };
    let status = status_of_customers(count, counts(20, 12));
    assert_eq!(status.state, ThresholdState::Over);
    assert_eq!(status.reading(), "up to 12");
    assert_eq!(
        status.sentence(),
        "up to 12 customers with a bad event in 1 h, limit 10"
    );
}

#[test]
fn ten_customers_are_over_a_limit_of_ten_however_few_events_they_had() {
    let events = counts(10, 4);
    assert_eq!(customers(10, events), ThresholdState::Over);
    assert_eq!(customers(9, events), ThresholdState::Near);
    assert_eq!(customers(8, events), ThresholdState::Under);
    assert_eq!(customers(0, EventCounts::ZERO), ThresholdState::Unknown);
}

/// Makes inputs for a rule of 15 minutes: its events, those of the last week, and those of the hour
/// before that.
fn absence(now: i64, week: i64, hour_before: i64, freshness: Freshness) -> ThresholdState {
    let length = Duration::from_mins(15);
    let burn = burn(0.99, DAY * 28, counts(week + hour_before, 0));
    let rule = ThresholdRule {
        name: "rule".parse().unwrap(),
        severity: Severity::Page,
        limit: Limit::Absence { length },
        pending_for: Duration::ZERO,
    };
    let counts = CountsByLength::from([
        (length, counts(now, 0)),
        (WEEK, counts(week, 0)),
        (WEEK + HOUR, counts(week + hour_before, 0)),
    ]);
    let numbers = Numbers {
        burn: &burn,
        guard: Guard { bad_events: 5 },
        counts: &counts,
        customers: &CustomersByLength::new(),
        time_used: &TimeUsed::default(),
        freshness,
    };
    threshold_status(&rule, numbers).state
}

#[test]
fn silence_is_an_absence_only_where_the_same_hour_of_last_week_had_events() {
    use Freshness::Fresh;
    assert_eq!(absence(0, 5_000, 40, Fresh), ThresholdState::Over);
    assert_eq!(absence(0, 5_000, 0, Fresh), ThresholdState::Unknown);
    assert_eq!(absence(0, 0, 0, Fresh), ThresholdState::Unknown);
    assert_eq!(absence(1, 5_000, 40, Fresh), ThresholdState::Under);
    assert_eq!(absence(1, 5_000, 0, Fresh), ThresholdState::Under);
}

#[test]
fn what_ingest_may_have_missed_is_not_absent() {
    assert_eq!(
        absence(0, 5_000, 40, Freshness::Stale),
        ThresholdState::Unknown
    );
    assert_eq!(
        absence(1, 5_000, 40, Freshness::Stale),
        ThresholdState::Under
    );
}

fn loudness(state: ThresholdState) -> u8 {
    match state {
        ThresholdState::Unknown => 0,
        ThresholdState::Under => 1,
        ThresholdState::Near | ThresholdState::TooFew | ThresholdState::InDoubt => 2,
        ThresholdState::Over => 3,
    }
}

proptest! {
    /// One more of the same events is bad, in the look-back and in the window around it.
    #[test]
    fn one_more_bad_event_never_calms_a_rule(
        total in 1_i64..500, older in 0_i64..5_000, bad in 0_i64..500, older_bad in 0_i64..50,
        hours in 1_u64..48, over in 0.01_f64..1.0,
    ) {
        let (bad, older_bad) = (bad.min(total - 1), older_bad.min(older));
        let within = Duration::from_hours(hours);
        for limit in [Limit::BudgetSpent { over }, Limit::Exhaustion { within }] {
            let loud = |bad| {
                let burn = burn(0.99, DAY * 28, counts(total + older, bad + older_bad));
                let recent = [(pace_length(within), counts(total, bad))];
                loudness(status(limit, &burn, &recent).state)
            };
            prop_assert!(loud(bad) <= loud(bad + 1), "{limit:?}");
        }
    }

    #[test]
    fn good_events_alone_are_never_over_a_limit(total in 0_i64..500, older in 0_i64..5_000) {
        let burn = burn(0.99, DAY * 28, counts(total + older, 0));
        let within = Duration::from_hours(4);
        for limit in [Limit::BudgetSpent { over: 0.01 }, Limit::Exhaustion { within }] {
            let status = status(limit, &burn, &[(HOUR, counts(total, 0))]);
            prop_assert!(matches!(status.state, ThresholdState::Under | ThresholdState::Unknown));
        }
    }

    #[test]
    fn one_more_customer_never_calms_a_rule(count in 0_i64..20) {
        let events = counts(100, 50);
        prop_assert!(loudness(customers(count, events)) <= loudness(customers(count + 1, events)));
    }
}

#[test]
fn s43_a_budget_is_not_judged_by_its_first_few_events() {
    let all = counts(95, 8);
    let young = |observed| BurnContext {
        observed,
        ..burn(0.99, DAY * 28, all)
    };
    let (spent, gone) = (
        Limit::BudgetSpent { over: 0.9 },
        Limit::Exhaustion { within: HOUR * 4 },
    );
    for limit in [spent, gone] {
        let state = |observed| status(limit, &young(observed), &[(HOUR, all)]).state;
        assert_eq!(state(Duration::from_secs(20)), ThresholdState::Unknown);
        assert_eq!(state(HOUR), ThresholdState::Over);
    }
}

/// Evaluates 60 workflows in flight, by the share of the time limit used: 40 from 75 %, 11 from 80
/// %, 7 from 95 %, and two past their deadline.
fn at_risk(used: f64, workflows: u32) -> ThresholdStatus {
    let burn = burn(0.99, DAY * 28, counts(1_000, 0));
    status(Limit::AtRisk { used, workflows }, &burn, &[])
}

#[test]
fn workflows_are_at_risk_from_the_share_of_the_time_limit_on_that_a_rule_names() {
    assert_eq!(at_risk(0.8, 20).state, ThresholdState::Over);
    assert_eq!(at_risk(0.8, 21).state, ThresholdState::Near);
    assert_eq!(at_risk(0.8, 30).state, ThresholdState::Under);
    assert_eq!(at_risk(0.95, 9).state, ThresholdState::Over);
    assert_eq!(at_risk(0.75, 60).state, ThresholdState::Over);
}

#[test]
fn a_rule_on_workflows_at_risk_says_how_many_there_are() {
    let status = at_risk(0.8, 20);
    assert_eq!(
        status.sentence(),
        "80 % of the time limit used, 20 in flight, limit 20"
    );
    assert_eq!(
        (status.reading().as_str(), status.limit.threshold().as_str()),
        ("20", "20 at 80 %")
    );
}

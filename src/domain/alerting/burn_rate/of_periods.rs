//! Tests of the budget of a calendar period: whole when it begins, and never restored before it
//! ends.

use std::time::Duration;

use proptest::prelude::*;

use super::{tests::counts, *};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Makes a month of 31 days at 99 %, with a thousand events an hour: a budget of 7,440 at its end.
fn month(passed: Duration, bad: i64) -> BurnContext {
    let hours = i64::try_from(passed.as_secs() / 3_600).unwrap();
    BurnContext {
        objective: Objective::from_ratio(0.99).unwrap(),
        kind: BurnKind::Budget,
        window: DAY * 31,
        in_window: counts(744_000, 100),
        observed: DAY * 31,
        period: Some(PeriodSoFar {
            counts: counts(hours * 1_000, bad),
            rest: (DAY * 31).saturating_sub(passed),
        }),
    }
}

fn look_back(bad: i64) -> Window {
    Window {
        length: HOUR,
        counts: counts(1_000, bad),
    }
}

#[track_caller]
fn assert_close(actual: Option<f64>, expected: f64) {
    let actual = actual.unwrap();
    assert!(
        (actual - expected).abs() < 1e-9,
        "{actual} is not {expected}"
    );
}

#[test]
fn a_period_begins_with_a_whole_budget_whatever_the_last_one_spent() {
    let slo = BurnContext {
        in_window: counts(744_000, 700_000),
        ..month(Duration::ZERO, 0)
    };
    assert_close(slo.budget_remaining(), 1.0);
    assert_eq!(slo.bad_events_allowed(), 7_440);
}

#[test]
fn the_first_bad_event_of_a_month_spends_its_share_of_the_month_and_not_of_the_first_hour() {
    let slo = month(HOUR, 744);
    assert_close(slo.budget_remaining(), 0.9);
    assert_eq!(slo.bad_events_allowed(), 6_696);
    assert_close(month(DAY * 31, 744).budget_remaining(), 0.9);
}

#[test]
fn a_burn_rate_does_not_jump_when_a_period_begins() {
    let before = month(DAY * 31, 0).burn_rate(look_back(150)).unwrap();
    let after = month(Duration::ZERO, 0).burn_rate(look_back(150)).unwrap();
    assert_close(Some(before.value()), 15.0);
    assert_close(Some(after.value()), 15.0);
}

#[test]
fn a_budget_lasts_as_its_pace_has_it_unless_the_period_ends_before() {
    let lasts = |slo: BurnContext, bad| {
        let pace = slo.burn_rate(look_back(bad)).unwrap();
        slo.time_to_exhaustion(pace, &Ageing::default())
    };
    let half = month(DAY * 11, 3_720);
    assert_eq!(lasts(half, 150), Some(HOUR * 3_720 / 150));
    // 3,720 bad events at ten an hour are more than two weeks, at five more than the rest.
    assert_eq!(lasts(half, 10), Some(HOUR * 372));
    assert_eq!(lasts(half, 5), None);
    assert_eq!(lasts(month(DAY * 11, 7_441), 150), None);
}

#[test]
fn a_period_without_traffic_has_no_budget() {
    let slo = BurnContext {
        in_window: EventCounts::ZERO,
        ..month(Duration::ZERO, 0)
    };
    assert_eq!(slo.budget_remaining(), None);
    assert_eq!(slo.bad_events_allowed(), 0);
}

proptest! {
    #[test]
    fn good_events_at_the_usual_traffic_give_nothing_back(
        hours in 0_u32..743, bad in 0_i64..20_000,
    ) {
        let bad = bad.min(i64::from(hours) * 1_000);
        let now = month(HOUR * hours, bad).budget_remaining().unwrap();
        let later = month(HOUR * (hours + 1), bad).budget_remaining().unwrap();
        prop_assert!((now - later).abs() < 1e-9, "{} then {}", now, later);
    }

    #[test]
    fn no_answer_is_ever_nan_or_infinite_or_beyond_the_period(
        usual in 0_i64..1_000_000, total in 0_i64..1_000_000, bad in 0_i64..1_000_000,
        observed in 0_u64..9_000_000, rest in 0_u64..9_000_000, hour in 0_i64..1_000,
    ) {
        let rest = Duration::from_secs(rest);
        let slo = BurnContext {
            in_window: counts(usual, 0),
            observed: Duration::from_secs(observed),
            period: Some(PeriodSoFar { counts: counts(total, bad.min(total)), rest }),
            ..month(Duration::ZERO, 0)
        };
        let pace = slo.burn_rate(look_back(hour));
        let answers = [slo.budget_remaining(), Some(slo.budget_volume()), pace.map(BurnRate::value)];
        prop_assert!(answers.into_iter().flatten().all(f64::is_finite), "{answers:?}");
        prop_assert!(slo.bad_events_allowed() >= 0);
        let lasts = pace.and_then(|pace| slo.time_to_exhaustion(pace, &Ageing::default()));
        prop_assert!(lasts.is_none_or(|lasts| lasts <= rest + Duration::from_millis(1)));
    }
}

//! Test vectors that the workbook and other systems publish, and the laws behind them.

use proptest::prelude::*;

use super::*;
use crate::domain::{counting::series::Series, model::time::Timestamp};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn counts(total: i64, bad: i64) -> EventCounts {
    EventCounts {
        good: total - bad,
        failed: bad,
        ..EventCounts::ZERO
    }
}

fn context(objective: f64, days: u32, in_window: EventCounts) -> BurnContext {
    BurnContext {
        objective: Objective::from_ratio(objective).unwrap(),
        kind: BurnKind::Budget,
        window: DAY * days,
        in_window,
        observed: DAY * days,
        period: None,
    }
}

fn ratio(objective: f64, total: i64, bad: i64) -> f64 {
    let objective = Objective::from_ratio(objective).unwrap();
    BurnRate::of_ratio(counts(total, bad), objective)
        .unwrap()
        .value()
}

fn hour(total: i64, bad: i64) -> Window {
    Window {
        length: HOUR,
        counts: counts(total, bad),
    }
}

#[track_caller]
fn assert_close(actual: f64, expected: f64) {
    assert!(
        (actual - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{actual} is not {expected}"
    );
}

#[test]
fn a_burn_rate_is_the_bad_share_over_the_budget() {
    assert_close(ratio(0.999, 10, 1), 100.0);
    assert_close(ratio(0.999, 1_000, 1), 1.0);
    assert_close(ratio(0.9995, 10, 10), 2_000.0);
    assert_close(ratio(0.35, 10_000, 6_415), 0.986_923_076_923);
    assert_close(ratio(0.9, 7, 7), 10.0);
}

#[test]
fn the_coefficient_of_a_quiet_hour_keeps_it_from_paging_and_that_of_a_busy_one_does_not() {
    let slo = context(0.99, 28, counts(672_000, 100));
    let quiet = slo.burn_rate(hour(20, 10)).unwrap();
    assert_close(quiet.value(), 1.0);
    assert!(!quiet.reaches(13.44));
    let busy = slo.burn_rate(hour(3_000, 150)).unwrap();
    assert_close(busy.value(), 15.0);
    assert!(busy.reaches(13.44));
}

#[test]
fn the_short_window_is_weighed_by_the_coefficient_of_the_long_one() {
    let slo = context(0.99, 28, counts(672_000, 100));
    let rates = slo.burn_rates(hour(3_000, 150), counts(10, 1));
    assert_close(rates.short.unwrap().value(), 30.0);
    let plain = BurnContext {
        kind: BurnKind::Ratio,
        ..slo
    };
    let rates = plain.burn_rates(hour(3_000, 150), counts(10, 1));
    assert_close(rates.long.unwrap().value(), 5.0);
    assert_close(rates.short.unwrap().value(), 10.0);
}

#[test]
fn an_slo_with_less_history_than_the_look_back_burns_by_the_plain_ratio() {
    let all = counts(600, 60);
    let slo = BurnContext {
        observed: Duration::from_mins(10),
        ..context(0.99, 28, all)
    };
    let window = Window {
        length: HOUR,
        counts: all,
    };
    assert_close(slo.volume_coefficient(all, HOUR).unwrap(), 1.0);
    assert_close(slo.burn_rate(window).unwrap().value(), 10.0);
}

#[test]
fn on_its_first_day_an_slo_is_compared_with_the_hours_it_has_had() {
    let slo = BurnContext {
        observed: HOUR * 10,
        ..context(0.99, 28, counts(10_000, 150))
    };
    assert_close(slo.burn_rate(hour(3_000, 150)).unwrap().value(), 15.0);
}

#[test]
fn a_rate_at_the_factor_reaches_it_and_one_event_less_does_not() {
    let slo = context(0.99, 28, counts(6_720_000, 0));
    let at = |bad| slo.burn_rate(hour(10_000, bad)).unwrap();
    assert!(at(1_344).reaches(13.44));
    assert!(!at(1_343).reaches(13.44));
    assert!(
        BurnRate::of_ratio(counts(10_000, 144), Objective::from_ratio(0.999).unwrap())
            .unwrap()
            .reaches(14.4)
    );
}

#[test]
fn what_is_left_of_the_budget_is_signed_and_never_cut() {
    let left = |total, bad| context(0.999, 30, counts(total, bad)).budget_remaining();
    assert_close(left(1_000_000, 400).unwrap(), 0.6);
    assert_close(left(1_000, 3).unwrap(), -2.0);
    assert_close(left(7_200, 1).unwrap(), 1.0 - 0.138_888_888_889);
    assert_eq!(left(0, 0), None);
}

#[test]
fn the_budget_is_also_told_in_events() {
    let allowed = |total, bad| context(0.995, 28, counts(total, bad)).bad_events_allowed();
    assert_eq!(allowed(1_208_000, 3_636), 2_404);
    assert_eq!(allowed(200, 0), 1);
    assert_eq!(allowed(199, 0), 0);
    assert_eq!(allowed(200, 7), 0);
    assert_eq!(allowed(0, 0), 0);
}

#[test]
fn an_slo_whose_first_bad_event_overspends_has_too_few_events() {
    assert!(context(0.999, 28, counts(90, 0)).has_too_few_events());
    assert!(!context(0.99, 28, counts(100, 0)).has_too_few_events());
    assert!(context(0.99, 28, counts(99, 0)).has_too_few_events());
    let young = BurnContext {
        observed: DAY,
        ..context(0.99, 28, counts(10, 0))
    };
    assert!(!young.has_too_few_events());
    let first_minute = BurnContext {
        observed: Duration::ZERO,
        ..context(0.999, 28, counts(1, 0))
    };
    assert!(first_minute.has_too_few_events());
}

fn any_context() -> impl Strategy<Value = BurnContext> {
    let in_window = (0_i64..1_000_000, 0_i64..1_000_000).prop_map(|(good, bad)| EventCounts {
        good,
        timeout: bad,
        ..EventCounts::ZERO
    });
    let kind = prop_oneof![Just(BurnKind::Budget), Just(BurnKind::Ratio)];
    (in_window, kind, 1_u32..999_999, 1_u32..90, 0_u64..9_000_000).prop_map(
        |(in_window, kind, millionths, days, observed)| BurnContext {
            kind,
            observed: Duration::from_secs(observed),
            ..context(f64::from(millionths) / 1e6, days, in_window)
        },
    )
}

fn nothing_ages(slo: &BurnContext) -> Ageing {
    let range = Ageing::range(slo.window, Timestamp::from_secs(1_790_000_000));
    let (_, step) = steps(slo.window);
    Ageing::new(&Series::new(range, step, &[]))
}

proptest! {
    #[test]
    fn no_answer_is_ever_nan_or_infinite(
        slo in any_context(), total in 0_i64..1_000_000, bad in 0_i64..1_000_000,
        secs in 0_u64..9_000_000,
    ) {
        let window = Window { length: Duration::from_secs(secs), counts: counts(total.max(bad), bad) };
        let answers = [
            slo.burn_rate(window).map(BurnRate::value),
            slo.volume_coefficient(window.counts, window.length),
            slo.budget_remaining(),
            slo.budget_spent_by(window.counts),
            Some(slo.expected_events()),
        ];
        prop_assert!(answers.into_iter().flatten().all(f64::is_finite), "{answers:?}");
        prop_assert!(slo.bad_events_allowed() >= 0);
        let pace = slo.burn_rate(window);
        let lasts = pace.and_then(|pace| slo.time_to_exhaustion(pace, &nothing_ages(&slo)));
        prop_assert!(lasts.is_none_or(|lasts| lasts <= slo.window));
    }

    #[test]
    fn a_budget_that_does_not_fall_has_no_date(slo in any_context(), pace in 0.0_f64..3.0) {
        let lasts = slo.time_to_exhaustion(BurnRate(pace), &nothing_ages(&slo));
        prop_assert!(lasts.is_none() || pace >= 1.0 - 1e-6, "{lasts:?}");
    }

    #[test]
    fn a_window_without_events_has_no_burn_rate(slo in any_context()) {
        prop_assert_eq!(slo.burn_rate(hour(0, 0)), None);
    }

    #[test]
    fn more_bad_events_never_burn_slower(
        slo in any_context(), total in 1_i64..100_000, bad in 0_i64..100_000,
    ) {
        let bad = bad.min(total - 1);
        prop_assert!(slo.burn_rate(hour(total, bad)) <= slo.burn_rate(hour(total, bad + 1)));
    }

    #[test]
    fn ten_times_the_traffic_of_the_same_quality_burns_the_same(
        slo in any_context(), total in 1_i64..100_000, bad in 0_i64..100_000,
    ) {
        let bad = bad.min(total);
        let tenfold = BurnContext {
            in_window: (0..10).map(|_| slo.in_window).sum(),
            ..slo
        };
        let small = slo.burn_rate(hour(total, bad)).map(BurnRate::value);
        let large = tenfold.burn_rate(hour(10 * total, 10 * bad)).map(BurnRate::value);
        prop_assert_eq!(small.is_some(), large.is_some());
        let (small, large) = (small.unwrap_or(0.0), large.unwrap_or(0.0));
        prop_assert!((small - large).abs() <= 1e-9 * small.max(1.0));
    }
}

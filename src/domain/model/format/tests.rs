//! Laws of the formats for people, and examples.

use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::domain::model::time::Timestamp;

fn shown(text: &str) -> Option<f64> {
    text.trim_end_matches(['×', '%', ' '])
        .replace('−', "-")
        .parse()
        .ok()
}

proptest! {
    #[test]
    fn a_burn_rate_never_reads_as_equal_to_a_factor_that_it_is_not(
        limit in 0.2_f64..1_000.0, distance in -0.5_f64..0.5, scale in 0_i32..9,
    ) {
        let rate = (limit + limit * distance * 10f64.powi(-scale)).max(0.0);
        prop_assume!(rate.total_cmp(&limit).is_ne());
        let text = burn_rate(rate, limit);
        let limit_shown = shown(&factor(limit)).unwrap();
        let reads_as_under = shown(&text).map_or(text.starts_with("just under"), |value| value < limit_shown);
        prop_assert_eq!(reads_as_under, rate < limit, "{} beside {}", text, factor(limit));
    }

    #[test]
    fn a_burn_rate_that_is_its_factor_reads_so(tenths in 1_u32..10_000) {
        let limit = f64::from(tenths) / 10.0;
        prop_assert_eq!(burn_rate(limit, limit), factor(limit));
    }

    #[test]
    fn a_share_reads_as_nothing_or_everything_only_if_it_is(
        ratio in -3.0_f64..1.0, scale in 0_i32..5,
    ) {
        let ratio = ratio * 10f64.powi(-scale);
        for text in [budget(ratio), percent(ratio)] {
            let value = shown(&text).unwrap();
            prop_assert_eq!(value < 0.0, ratio < 0.0, "{}", text);
            prop_assert_eq!(value > 0.0, ratio > 0.0, "{}", text);
            prop_assert!(value < 100.0, "{}", text);
        }
    }

    #[test]
    fn what_was_achieved_reads_as_kept_only_if_it_was(good in 0.9_f64..1.0, missing in 1_u32..90_000) {
        let objective = 1.0 - f64::from(missing) / 1_000_000.0;
        prop_assume!((good - objective).abs() > 1e-9);
        let value = shown(&achieved(good, objective)).unwrap();
        prop_assert_eq!(value < objective * 100.0 - 1e-9, good < objective);
    }

    #[test]
    fn nothing_reads_as_not_a_number(value in proptest::num::f64::ANY) {
        for text in [
            budget(value), percent(value), burn_rate(value, None), burn_rate(value, 5.6),
            achieved(value, 0.995), seconds(value),
        ] {
            prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{}", text);
            prop_assert!(text.chars().count() <= 24, "{}", text);
        }
    }
}

#[test]
fn counts_are_grouped_by_thousands() {
    for (value, text) in [
        (0, "0"),
        (999, "999"),
        (1_240, "1,240"),
        (-1_234_567, "−1,234,567"),
    ] {
        assert_eq!(count(value), text);
    }
    assert_eq!(counted(1, "SLO"), "1 SLO");
    assert_eq!(counted(1_200, "SLO"), "1,200 SLOs");
}

#[test]
fn shares_read_as_percentages() {
    for (ratio, text) in [
        (0.133_19, "13.3 %"),
        (0.18, "18 %"),
        (0.002, "0.2 %"),
        (0.000_123, "0.012 %"),
        (1.0, "100 %"),
        (0.999_96, "99.996 %"),
        (0.0, "0 %"),
        (-0.21, "−21 %"),
    ] {
        assert_eq!(percent(ratio), text);
    }
    assert_eq!(percent(None), NONE);
}

#[test]
fn a_budget_is_whole_percents_unless_that_would_hide_something() {
    for (ratio, text) in [
        (0.403, "40 %"),
        (-0.07, "−7 %"),
        (0.004, "0.4 %"),
        (0.9996, "99.96 %"),
        (1.0, "100 %"),
        (-0.000_4, "−0.04 %"),
    ] {
        assert_eq!(budget(ratio), text);
    }
    assert_eq!(budget(None), NONE);
}

#[test]
fn an_objective_keeps_its_digits_and_what_was_achieved_shows_a_tenth_of_its_budget() {
    for (ratio, text) in [
        (0.9995, "99.95 %"),
        (0.99, "99 %"),
        (0.999_999, "99.9999 %"),
    ] {
        assert_eq!(objective(ratio), text);
    }
    assert_eq!(achieved(0.997, 0.995), "99.70 %");
    assert_eq!(achieved(0.994_999, 0.995), "99.4999 %");
}

#[test]
fn burn_rates_are_short_and_say_enough() {
    for (rate, limit, text) in [
        (5.594, Some(5.6), "5.59×"),
        (14.41, Some(14.4), "14.41×"),
        (23.2, Some(13.44), "23×"),
        (13.44, Some(13.44), "13.44×"),
        (23.1, None, "23×"),
        (0.123, None, "0.12×"),
        (1_234.0, None, "1234×"),
        (1.0, None, "1×"),
        (0.0, None, "0×"),
    ] {
        assert_eq!(burn_rate(rate, limit), text);
    }
    assert_eq!(factor(13.44), "13.44×");
    assert_eq!(factor(10.0), "10×");
    assert_eq!(burn_rate(None, 5.6), NONE);
}

#[test]
fn lengths_have_at_most_two_units() {
    for (secs, text) in [
        (0.0, "0 s"),
        (-3.0, "0 s"),
        (0.25, "250 ms"),
        (11.2, "11.2 s"),
        (20.0, "20 s"),
        (59.99, "59.9 s"),
        (401.0, "6 min 41 s"),
        (3_600.0, "1 h"),
        (17_520.0, "4 h 52 min"),
        (273_600.0, "3 d 4 h"),
        (f64::INFINITY, NONE),
    ] {
        assert_eq!(seconds(secs), text);
    }
    let long = std::time::Duration::from_secs;
    assert_eq!([lasting(long(59)), lasting(long(401))], ["59 s", "6 min"]);
}

#[test]
fn a_moment_is_as_long_as_it_must_be() {
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let now = at("2026-11-22T10:08:04Z");
    let moment = |text| moment(at(text), now, Tz::UTC);
    let today = at("2026-11-22T21:31:00Z");
    assert_eq!(moment_in_words(today, now, Tz::UTC), "today 21:31");
    assert_eq!(moment("2026-11-19T09:05:00Z"), "Thu 19 Nov 09:05");
    assert_eq!(moment("2025-11-19T09:05:00Z"), "19 Nov 2025 09:05");
}

#[test]
fn a_day_is_one_of_the_zone_and_the_zone_is_named_as_it_is_at_that_time() {
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let (late, now) = (at("2026-11-22T15:30:00Z"), at("2026-11-22T18:00:00Z"));
    let zone = Tz::Australia__Sydney;
    assert_eq!(moment(late, now, zone), "02:30");
    assert_eq!(moment(late, now, Tz::Asia__Kolkata), "21:00");
    assert_eq!(moment(late, now, Tz::Asia__Karachi), "20:30");
    assert_eq!(
        moment(at("2026-11-22T12:30:00Z"), now, zone),
        "Sun 22 Nov 23:30"
    );
    assert_eq!(time_of_day(late, Tz::Europe__Berlin), "16:30 CET");
    assert_eq!(
        time_of_day(at("2026-07-22T15:30:00Z"), Tz::Europe__Berlin),
        "17:30 CEST"
    );
    assert_eq!(instant(late, now, Tz::UTC), "15:30:00.000");
}

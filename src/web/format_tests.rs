//! The laws of what people read: never `NaN`, never equal to a threshold by rounding.

use proptest::prelude::*;

use super::*;

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
        let text = burn(Some(rate), Some(limit));
        let limit_shown = shown(&factor(limit)).unwrap();
        let reads_as_under = shown(&text).map_or(text.starts_with("just under"), |value| value < limit_shown);
        prop_assert_eq!(reads_as_under, rate < limit, "{} beside {}", text, factor(limit));
    }

    #[test]
    fn what_is_left_reads_as_nothing_or_everything_only_if_it_is(left in -3.0_f64..1.0) {
        let text = budget(Some(left));
        let value = shown(&text).unwrap();
        prop_assert_eq!(value < 0.0, left < 0.0, "{}", text);
        prop_assert_eq!(value > 0.0, left > 0.0, "{}", text);
        prop_assert!(value < 100.0, "{}", text);
    }

    #[test]
    fn what_was_achieved_reads_as_kept_only_if_it_was(good in 0.9_f64..1.0, missing in 1_u32..90_000) {
        let objective = 1.0 - f64::from(missing) / 1_000_000.0;
        prop_assume!((good - objective).abs() > 1e-9);
        let value = shown(&achieved(Some(good), objective)).unwrap();
        prop_assert_eq!(value < objective * 100.0 - 1e-9, good < objective);
    }

    #[test]
    fn nothing_reads_as_not_a_number(value in proptest::num::f64::ANY) {
        for text in [
            budget(Some(value)), share(Some(value)), burn(Some(value), None),
            burn(Some(value), Some(5.6)), achieved(Some(value), 0.995), seconds(value),
        ] {
            prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{}", text);
        }
    }
}

#[test]
fn numbers_are_short_and_say_enough() {
    assert_eq!(burn(Some(5.594), Some(5.6)), "5.59×");
    assert_eq!(burn(Some(23.2), Some(13.44)), "23×");
    assert_eq!(burn(Some(0.0), None), "0×");
    assert_eq!(factor(13.44), "13.44×");
    assert_eq!(factor(10.0), "10×");
    assert_eq!(budget(Some(-0.07)), "−7 %");
    assert_eq!(budget(Some(0.9996)), "99.96 %");
    assert_eq!(budget(Some(1.0)), "100 %");
    assert_eq!(budget(None), "–");
    assert_eq!(achieved(Some(0.997), 0.995), "99.70 %");
    assert_eq!(count(-1_208_046), "−1,208,046");
    assert_eq!(share(Some(0.0042)), "0.42 %");
    assert_eq!(share(Some(0.25)), "25 %");
}

#[test]
fn lengths_have_at_most_two_units() {
    for (secs, text) in [
        (0.84, "0.8 s"),
        (2.0, "2 s"),
        (47.0, "47 s"),
        (1_126.0, "18 min 46 s"),
        (40_980.0, "11 h 23 min"),
        (244_800.0, "2 d 20 h"),
        (86_400.0, "1 d"),
    ] {
        assert_eq!(seconds(secs), text);
    }
}

#[test]
fn a_moment_is_as_long_as_it_must_be() {
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let now = at("2026-11-22T10:08:04Z");
    assert_eq!(
        moment_in_words(at("2026-11-22T21:31:00Z"), now),
        "today 21:31"
    );
    assert_eq!(moment(at("2026-11-19T09:05:00Z"), now), "Thu 19 Nov 09:05");
    assert_eq!(moment(at("2025-11-19T09:05:00Z"), now), "19 Nov 2025 09:05");
}

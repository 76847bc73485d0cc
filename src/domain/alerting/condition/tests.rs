//! Tests from counts to rules and from rules to signals: edges, vectors of the SRE workbook, and
//! laws.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    alerting::threshold::{Numbers, threshold_status},
    counting::time_used::TimeUsed,
    model::{counts::EventCounts, objective::Objective},
    slo::{BurnKind, Limit, ThresholdRule},
};

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_mins(5);
const SLOW_LONG: Duration = Duration::from_hours(6);
const SLOW_SHORT: Duration = Duration::from_mins(30);

fn counts(total: i64, bad: i64) -> EventCounts {
    EventCounts {
        good: total - bad,
        late: bad,
        ..EventCounts::ZERO
    }
}

fn rule(name: &str, factor: f64, long: Duration, short: Duration) -> AlertRule {
    AlertRule {
        name: name.parse().unwrap(),
        severity: Severity::Page,
        factor,
        long,
        short,
        pending_for: Duration::ZERO,
    }
}

/// Makes rules at 10 and 5 times an error budget of 1 %, by the plain ratio.
fn rules(fast: [EventCounts; 2], slow: [EventCounts; 2]) -> Vec<RuleStatus> {
    let burn = BurnContext {
        objective: Objective::from_ratio(0.99).unwrap(),
        kind: BurnKind::Ratio,
        window: LONG * 672,
        in_window: counts(10_000, 0),
        observed: LONG * 672,
        period: None,
    };
    let counts = BTreeMap::from([
        (LONG, fast[0]),
        (SHORT, fast[1]),
        (SLOW_LONG, slow[0]),
        (SLOW_SHORT, slow[1]),
    ]);
    let guard = Guard { bad_events: 5 };
    [
        rule("fast", 10.0, LONG, SHORT),
        rule("slow", 5.0, SLOW_LONG, SLOW_SHORT),
    ]
    .iter()
    .map(|rule| rule_status(rule, guard, &BurnBounds::new(&burn), &counts))
    .collect()
}

fn signal(
    rules: &[RuleStatus],
    limits: &[ThresholdStatus],
    severity: Severity,
    freshness: Freshness,
) -> Signal {
    let of = RuleStatuses {
        rules: rules.to_vec(),
        limits: limits.to_vec(),
        quality: Vec::new(),
    };
    verdict(&of, severity, freshness)
}

fn page(rules: &[RuleStatus]) -> Signal {
    signal(rules, &[], Severity::Page, Freshness::Fresh)
}

fn breach(names: &[&str]) -> Signal {
    let burning = names.iter().map(|name| BreachedRule {
        rule: name.parse().unwrap(),
        pending_for: Duration::ZERO,
    });
    Signal::Breach(burning.collect())
}

const NONE: EventCounts = EventCounts::ZERO;

#[test]
fn both_windows_must_burn_before_a_rule_does() {
    let condition = |long, short| rules([long, short], [NONE, NONE])[0].condition;
    let (hot, cold) = (counts(100, 10), counts(100, 1));
    assert_eq!(condition(hot, hot), BurnCondition::Burning);
    assert_eq!(condition(cold, hot), BurnCondition::Rising);
    assert_eq!(condition(hot, cold), BurnCondition::Recovering);
    assert_eq!(condition(cold, cold), BurnCondition::Quiet);
    assert_eq!(condition(hot, NONE), BurnCondition::Recovering);
    assert_eq!(condition(NONE, NONE), BurnCondition::NoData);
}

#[test]
fn t06_four_bad_events_are_too_few_for_a_guard_of_five() {
    let with = |bad| rules([counts(5, bad), counts(5, bad)], [NONE, NONE]);
    assert_eq!(with(4)[0].condition, BurnCondition::TooFew);
    assert_eq!(page(&with(4)), Signal::TooFew);
    let stale = signal(&with(4), &[], Severity::Page, Freshness::Stale);
    assert_eq!(stale, Signal::Unknown);
    assert_eq!(with(5)[0].condition, BurnCondition::Burning);
    assert_eq!(page(&with(5)), breach(&["fast"]));
}

#[test]
fn one_rule_that_burns_is_a_breach_and_all_that_do_are_named_in_their_order() {
    let (hot, cold) = (counts(100, 10), counts(100, 1));
    assert_eq!(
        page(&rules([hot, hot], [hot, hot])),
        breach(&["fast", "slow"])
    );
    assert_eq!(page(&rules([cold, cold], [hot, hot])), breach(&["slow"]));
}

#[test]
fn it_is_clear_only_when_every_short_window_is_well_below_its_factor() {
    let short = |fast, slow| {
        let hot = counts(1_000, 100);
        page(&rules(
            [hot, counts(1_000, fast)],
            [hot, counts(1_000, slow)],
        ))
    };
    assert_eq!(short(89, 44), Signal::Clear);
    assert_eq!(short(90, 44), Signal::Between);
    assert_eq!(short(89, 45), Signal::Between);
    assert_eq!(short(99, 49), Signal::Between);
    assert_eq!(short(99, 50), breach(&["slow"]));
}

#[test]
fn silence_is_neither_clear_nor_a_breach() {
    let hot = counts(100, 50);
    assert_eq!(page(&rules([hot, NONE], [hot, NONE])), Signal::Unknown);
    assert_eq!(page(&rules([NONE, NONE], [NONE, NONE])), Signal::Unknown);
}

#[test]
fn a_longer_short_window_speaks_for_a_silent_one() {
    let (hot, good) = (counts(100, 50), counts(3, 0));
    assert_eq!(page(&rules([hot, NONE], [hot, good])), Signal::Clear);
    assert_eq!(page(&rules([good, NONE], [good, hot])), Signal::Between);
}

#[test]
fn stale_counts_may_fire_and_never_clear() {
    let stale = |rules: &[RuleStatus]| signal(rules, &[], Severity::Page, Freshness::Stale);
    let (hot, good) = (counts(100, 50), counts(100, 0));
    assert_eq!(stale(&rules([hot, good], [hot, good])), Signal::Unknown);
    assert_eq!(stale(&rules([hot, hot], [good, good])), breach(&["fast"]));
}

#[test]
fn counts_that_cannot_be_true_are_neither_a_breach_nor_clear() {
    let (hot, good) = (counts(100, 50), counts(100, 0));
    for rules in [
        rules([hot, hot], [hot, hot]),
        rules([good, good], [good, good]),
    ] {
        let verdict = signal(&rules, &[], Severity::Page, Freshness::Inconsistent);
        assert_eq!(verdict, Signal::Inconsistent);
        assert_eq!(
            verdict.missing(Freshness::Inconsistent),
            Some(Missing::ConsistentCounts)
        );
    }
}

#[test]
fn what_lacks_is_events_or_all_of_ingest() {
    assert_eq!(
        Signal::Unknown.missing(Freshness::Fresh),
        Some(Missing::Events)
    );
    assert_eq!(
        breach(&["fast"]).missing(Freshness::Stale),
        Some(Missing::Ingest)
    );
    assert_eq!(Signal::TooFew.missing(Freshness::Fresh), None);
    assert_eq!(Signal::Undeclared.missing(Freshness::Stale), None);
}

#[test]
fn a_severity_without_rules_is_undeclared() {
    let rules = rules([NONE, NONE], [NONE, NONE]);
    assert_eq!(
        signal(&rules, &[], Severity::Ticket, Freshness::Fresh),
        Signal::Undeclared
    );
}

fn limit(state: ThresholdState) -> ThresholdStatus {
    let burn = BurnContext {
        objective: Objective::from_ratio(0.99).unwrap(),
        kind: BurnKind::Ratio,
        window: LONG * 672,
        in_window: counts(10_000, 0),
        observed: LONG * 672,
        period: None,
    };
    let limit = ThresholdRule {
        name: "limit".parse().unwrap(),
        severity: Severity::Page,
        limit: Limit::BudgetSpent { over: 0.9 },
        pending_for: Duration::ZERO,
    };
    let numbers = Numbers {
        burn: &burn,
        guard: Guard { bad_events: 5 },
        counts: &CountsByLength::new(),
        customers: &BTreeMap::new(),
        time_used: &TimeUsed::default(),
        freshness: Freshness::Fresh,
    };
    ThresholdStatus {
        value_is_upper_bound: false,
        state,
        ..threshold_status(&limit, numbers)
    }
}

#[test]
fn a_limit_speaks_beside_burn_rates_as_one_more_rule() {
    let page = |rules: &[RuleStatus], state| {
        signal(rules, &[limit(state)], Severity::Page, Freshness::Fresh)
    };
    let (cold, none) = (counts(100, 1), rules([NONE, NONE], [NONE, NONE]));
    let calm = rules([cold, cold], [cold, cold]);
    assert_eq!(page(&calm, ThresholdState::Over), breach(&["limit"]));
    assert_eq!(page(&calm, ThresholdState::Near), Signal::Between);
    assert_eq!(page(&calm, ThresholdState::Unknown), Signal::Clear);
    assert_eq!(page(&none, ThresholdState::Under), Signal::Clear);
    assert_eq!(page(&none, ThresholdState::Unknown), Signal::Unknown);
    assert_eq!(page(&[], ThresholdState::Over), breach(&["limit"]));
}

/// Returns the signal after each minute of a day at 1,000 events a minute, by one rule of 14.4
/// times an error budget of 0.1 % over an hour and five minutes.
fn minute_by_minute(bad_in_minute: impl Fn(i64) -> i64) -> Vec<Signal> {
    let burn = BurnContext {
        objective: Objective::from_ratio(0.999).unwrap(),
        kind: BurnKind::Ratio,
        window: LONG * 720,
        in_window: counts(43_200_000, 0),
        observed: LONG * 720,
        period: None,
    };
    let rule = rule("fast", 14.4, LONG, SHORT);
    let last = |minutes: i64, now: i64| -> EventCounts {
        let bad = (now - minutes..now).map(&bad_in_minute);
        bad.map(|bad| counts(1_000, bad)).sum()
    };
    let verdict_at = |now| {
        let counts = BTreeMap::from([(LONG, last(60, now)), (SHORT, last(5, now))]);
        page(&[rule_status(
            &rule,
            Guard { bad_events: 5 },
            &BurnBounds::new(&burn),
            &counts,
        )])
    };
    (0..1_440).map(verdict_at).collect()
}

/// Figure 5-6 of the SRE workbook, computed exactly where the book rounds: the long window
/// crosses after 5.76 minutes, the short one is back under the factor 4.52 minutes after the end
/// and under nine tenths of it 4.57 minutes after. Minutes are counted whole.
#[test]
fn ten_minutes_of_fifteen_per_cent_fire_after_six_and_clear_five_after_the_end() {
    let verdicts = minute_by_minute(|minute| i64::from((100..110).contains(&minute)) * 150);
    let fired = verdicts
        .iter()
        .position(|verdict| *verdict == breach(&["fast"]));
    assert_eq!(fired, Some(106));
    let burned = verdicts
        .iter()
        .rposition(|verdict| *verdict == breach(&["fast"]));
    assert_eq!(burned, Some(114));
    assert_eq!(verdicts[105], Signal::Between);
    assert_eq!(verdicts[115], Signal::Clear);
}

/// Table 5-5 of the SRE workbook: a total outage is noticed after 51.8 seconds.
#[test]
fn an_outage_fires_within_its_first_minute_and_an_error_rate_below_the_factor_never_does() {
    let outage = minute_by_minute(|minute| i64::from(minute >= 100) * 1_000);
    assert_eq!(
        outage
            .iter()
            .position(|verdict| *verdict == breach(&["fast"])),
        Some(101)
    );
    let below = minute_by_minute(|minute| i64::from(minute >= 100) * 14);
    assert!(!below.contains(&breach(&["fast"])));
    assert_eq!(below[1_000], Signal::Between);
}

fn any_counts() -> impl Strategy<Value = EventCounts> {
    (0_i64..200, 0_i64..200).prop_map(|(good, bad)| counts(good + bad, bad))
}

proptest! {
    #[test]
    fn a_rule_burns_exactly_when_there_is_a_breach(
        a in any_counts(), b in any_counts(), c in any_counts(), d in any_counts(),
    ) {
        let rules = rules([a, b], [c, d]);
        let burns = rules.iter().any(|rule| rule.condition == BurnCondition::Burning);
        prop_assert_eq!(burns, matches!(page(&rules), Signal::Breach(_)));
    }

    #[test]
    fn good_events_alone_are_never_a_breach(
        a in 0_i64..1_000, b in 0_i64..1_000, c in 0_i64..1_000, d in 0_i64..1_000,
    ) {
        let rules = rules([counts(a, 0), counts(b, 0)], [counts(c, 0), counts(d, 0)]);
        prop_assert!(matches!(page(&rules), Signal::Clear | Signal::Unknown));
    }
}

/// Makes an SLO whose first event was `age` ago, with all of its events in `all`.
fn young(age: Duration, all: EventCounts) -> Vec<RuleStatus> {
    let burn = BurnContext {
        objective: Objective::from_ratio(0.99).unwrap(),
        kind: BurnKind::Budget,
        window: LONG * 672,
        in_window: all,
        observed: age,
        period: None,
    };
    let lengths = [LONG, SHORT, SLOW_LONG, SLOW_SHORT];
    let counts = lengths.map(|length| (length, all)).into();
    [
        rule("fast", 14.4, LONG, SHORT),
        rule("slow", 6.0, SLOW_LONG, SLOW_SHORT),
    ]
    .iter()
    .map(|rule| {
        rule_status(
            rule,
            Guard { bad_events: 5 },
            &BurnBounds::new(&burn),
            &counts,
        )
    })
    .collect()
}

#[test]
fn s43_eight_of_the_first_95_events_page_nobody() {
    let rules = young(Duration::from_secs(20), counts(95, 8));
    for rule in &rules {
        assert_eq!(rule.condition, BurnCondition::TooYoung);
        assert_eq!(rule.long.text(), "the 20 s since the first event");
        assert_eq!(rule.short.lately(), "the 20 s since the first event");
    }
    assert!(!matches!(page(&rules), Signal::Breach(_)));
    assert_eq!(
        page(&young(Duration::from_secs(20), counts(95, 0))),
        Signal::Unknown
    );
}

#[test]
fn s43_a_rule_fires_once_the_first_event_is_as_old_as_its_short_window() {
    let all = counts(100, 50);
    let condition = |age| young(age, all).iter().map(|rule| rule.condition).collect();
    let conditions: Vec<BurnCondition> = condition(SHORT);
    assert_eq!(
        conditions,
        [BurnCondition::Burning, BurnCondition::TooYoung]
    );
    let conditions: Vec<BurnCondition> = condition(SLOW_SHORT);
    assert_eq!(conditions, [BurnCondition::Burning; 2]);
    let (at, before) = (SHORT, SHORT.saturating_sub(Duration::from_micros(1)));
    assert_eq!(page(&young(at, all)), breach(&["fast"]));
    assert_eq!(page(&young(before, all)), Signal::Between);
}

#[test]
fn s43_a_window_names_no_more_than_has_been_seen() {
    let text = |age| young(age, counts(100, 50))[0].long.text();
    assert_eq!(
        text(Duration::from_mins(20)),
        "the 20 min since the first event"
    );
    assert_eq!(text(LONG), "1 h");
}

proptest! {
    #[test]
    fn s43_nothing_fires_before_its_short_window_is_covered(
        secs in 0_u64..300, all in any_counts(),
    ) {
        let rules = young(Duration::from_secs(secs), all);
        prop_assert!(!matches!(page(&rules), Signal::Breach(_)), "{rules:?}");
    }
}

fn with_unusable(counts: EventCounts, invalid: i64, evidence_lost: i64) -> EventCounts {
    EventCounts {
        invalid,
        evidence_lost,
        ..counts
    }
}

#[test]
fn s45_ten_timeouts_beside_990_invalid_ones_are_in_doubt() {
    let all = with_unusable(counts(10, 10), 990, 0);
    let rules = rules([all, all], [all, all]);
    assert_eq!(rules[0].condition, BurnCondition::InDoubt);
    assert_eq!(
        page(&rules),
        Signal::InDoubt {
            clear_as_good: true
        }
    );
}

#[test]
fn s45_a_stall_pages_whatever_the_clocks_say() {
    let all = with_unusable(counts(900, 900), 100, 0);
    assert_eq!(
        page(&rules([all, all], [all, all])),
        breach(&["fast", "slow"])
    );
}

#[test]
fn s45_what_is_clear_both_ways_is_clear() {
    let all = with_unusable(counts(1_000, 0), 5, 5);
    assert_eq!(page(&rules([all, all], [all, all])), Signal::Clear);
}

#[test]
fn s45_lost_evidence_is_left_out_of_the_first_count_and_bad_in_the_second() {
    let all = with_unusable(counts(100, 0), 0, 100);
    let rules = rules([all, all], [all, all]);
    assert_eq!(rules[0].long.burn_rate, Some(0.0));
    let worst = rules[0].at_worst.and_then(|worst| worst.long).unwrap();
    assert!((worst.value() - 50.0).abs() < 1e-9);
    assert_eq!(rules[0].condition, BurnCondition::InDoubt);
}

proptest! {
    #[test]
    fn s45_a_breach_is_one_also_if_what_cannot_be_used_is_good(
        all in any_counts(), invalid in 0_i64..200, lost in 0_i64..200,
    ) {
        let with = |counts| page(&rules([counts, counts], [counts, counts]));
        let (raw, best) = (with_unusable(all, invalid, lost), all.as_good());
        let signal = with(raw);
        if matches!(signal, Signal::Breach(_)) {
            let best = with(with_unusable(best, invalid, 0).as_good());
            prop_assert!(matches!(best, Signal::Breach(_)), "{best:?}");
        }
        if signal == Signal::Clear {
            prop_assert_eq!(with(raw.as_bad()), Signal::Clear);
        }
    }

    #[test]
    fn s45_one_more_unusable_event_never_fires_or_clears_anything(
        all in any_counts(), invalid in 0_i64..200,
    ) {
        let with = |invalid| {
            let all = with_unusable(all, invalid, 0);
            page(&rules([all, all], [all, all]))
        };
        let (before, after) = (with(invalid), with(invalid + 1));
        if matches!(after, Signal::Breach(_)) {
            prop_assert!(matches!(before, Signal::Breach(_)), "{before:?}");
        }
    }
}

#[test]
fn s45_ambiguous_ends_leave_a_rule_in_doubt_as_invalid_ones_do() {
    let all = EventCounts {
        ambiguous: 990,
        ..counts(10, 10)
    };
    let rules = rules([all, all], [all, all]);
    assert_eq!(rules[0].condition, BurnCondition::InDoubt);
}

//! What the counts say now: of one rule a [`BurnCondition`], of all rules of a severity a [`Signal`].
//!
//! Pages and alerts use the same function, so a page never calls an SLO burning that nobody is told
//! of.

use std::time::Duration;

use super::{
    burn_rate::{BurnContext, BurnRate, Window},
    limit::{LimitState, LimitStatus},
    rule_status::{
        BurnCondition, CLEAR_SHARE, CountsByLength, Freshness, Missing, RuleStatus, WindowStatus,
    },
};
use crate::domain::{
    model::ids::Name,
    slo::{AlertRule, Guard, Severity},
};

/// What all rules of one severity say together: what the alert's state machine moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// At least one rule burns: those that do, in their order.
    Breach(Vec<BreachedRule>),
    /// Every rule's short window is well below its factor, every number well short of its limit.
    Clear,
    /// Neither: not burning, yet too close to call it over.
    Between,
    /// A rule would burn if there were more bad events than so few that they mean nothing.
    TooFew,
    /// Nothing can be said, so nothing may resolve.
    Unknown,
    /// The counts cannot be true, so nothing is concluded of them.
    Nonsense,
    /// No rule of this severity is declared any more.
    Undeclared,
}

/// A rule that burns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreachedRule {
    pub rule: Name,
    /// For how long it must, before it tells.
    pub pending_for: Duration,
}

impl Signal {
    /// What lacks for a verdict that could clear an alert, if it is that.
    pub const fn missing(&self, freshness: Freshness) -> Option<Missing> {
        match (freshness, self) {
            (_, Self::Undeclared) => None,
            (Freshness::Absurd, _) | (_, Self::Nonsense) => Some(Missing::Sense),
            (Freshness::Stale, _) => Some(Missing::Ingest),
            (Freshness::Fresh, Self::Unknown) => Some(Missing::Events),
            (Freshness::Fresh, Self::Breach(_) | Self::Clear | Self::Between | Self::TooFew) => {
                None
            }
        }
    }
}

/// How a rule's two windows stand, and what that means.
pub fn rule_status(
    rule: &AlertRule,
    guard: Guard,
    burn: &BurnContext,
    counts: &CountsByLength,
) -> RuleStatus {
    let counted = |length| counts.get(&length).copied().unwrap_or_default();
    let (long, short) = (counted(rule.long), counted(rule.short));
    let window = Window {
        length: rule.long,
        counts: long,
    };
    let rates = burn.burn_rates(window, short);
    let is_over = |rate: Option<BurnRate>| rate.is_some_and(|rate| rate.reaches(rule.factor));
    // Under the guard there are too few bad events to mean anything.
    let has_enough_bad = u64::try_from(long.bad()).unwrap_or(0) >= guard.bad_events;
    let status = |length: Duration, counts, rate: Option<BurnRate>| WindowStatus {
        secs: length.as_secs(),
        counts,
        burn_rate: rate.map(BurnRate::value),
    };
    RuleStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        pending_for: rule.pending_for,
        factor: rule.factor,
        condition: match (is_over(rates.long), is_over(rates.short)) {
            (true, true) if !has_enough_bad => BurnCondition::TooFew,
            (true, true) => BurnCondition::Burning,
            (false, true) => BurnCondition::Rising,
            (true, false) if !has_enough_bad => BurnCondition::Quiet,
            (true, false) => BurnCondition::Recovering,
            (false, false) if long.total() <= 0 && short.total() <= 0 => BurnCondition::NoData,
            (false, false) => BurnCondition::Quiet,
        },
        long: status(rule.long, long, rates.long),
        short: status(rule.short, short, rates.short),
    }
}

/// What the rules of `severity` say together. They are OR-ed: one that burns is a breach, and only
/// all of them make it clear.
///
/// A short window without events says nothing. It is passed over while a longer short window still
/// sees events, or a queue with a workflow every ten minutes would never be clear of a rule that
/// looks at five; where none sees any, the verdict is unknown. Stale counts may lack good and bad
/// events alike: the bad ones that are there are true and may fire, the lack of others proves
/// nothing.
pub fn verdict(
    rules: &[RuleStatus],
    limits: &[LimitStatus],
    severity: Severity,
    freshness: Freshness,
) -> Signal {
    let rules = rules.iter().filter(|rule| rule.severity == severity);
    let limits = limits.iter().filter(|limit| limit.severity == severity);
    let standings: Vec<(BreachedRule, LimitState)> = rules
        .map(|rule| (burning(&rule.name, rule.pending_for), standing(rule)))
        .chain(limits.map(|limit| (burning(&limit.name, limit.pending_for), limit.standing)))
        .collect();
    if standings.is_empty() {
        return Signal::Undeclared;
    }
    if freshness == Freshness::Absurd {
        return Signal::Nonsense;
    }
    let any = |wanted| standings.iter().any(|(_, at)| *at == wanted);
    if any(LimitState::Over) {
        let over = standings
            .into_iter()
            .filter(|(_, at)| *at == LimitState::Over);
        return Signal::Breach(over.map(|(rule, _)| rule).collect());
    }
    match freshness {
        Freshness::Fresh if any(LimitState::Near) => Signal::Between,
        Freshness::Fresh if any(LimitState::TooFew) => Signal::TooFew,
        Freshness::Fresh if any(LimitState::Under) => Signal::Clear,
        Freshness::Fresh | Freshness::Stale | Freshness::Absurd => Signal::Unknown,
    }
}

fn burning(rule: &Name, pending_for: Duration) -> BreachedRule {
    BreachedRule {
        rule: rule.clone(),
        pending_for,
    }
}

/// Of a rule that does not burn the short window tells whether it is over.
fn standing(rule: &RuleStatus) -> LimitState {
    match rule.short.burn_rate {
        _ if rule.condition == BurnCondition::Burning => LimitState::Over,
        _ if rule.condition == BurnCondition::TooFew => LimitState::TooFew,
        Some(rate) if rate >= CLEAR_SHARE * rule.factor => LimitState::Near,
        Some(_) => LimitState::Under,
        None => LimitState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        alerting::limit::{Numbers, limit_status},
        model::{counts::EventCounts, objective::Objective},
        slo::{BurnKind, Limit, LimitRule},
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

    /// Rules at 10 and 5 times an error budget of 1 %, by the plain ratio.
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
        .map(|rule| rule_status(rule, guard, &burn, &counts))
        .collect()
    }

    fn page(rules: &[RuleStatus]) -> Signal {
        verdict(rules, &[], Severity::Page, Freshness::Fresh)
    }

    fn breach(names: &[&str]) -> Signal {
        let burning = names
            .iter()
            .map(|name| burning(&name.parse().unwrap(), Duration::ZERO));
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
        let stale = verdict(&with(4), &[], Severity::Page, Freshness::Stale);
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
        let stale = |rules: &[RuleStatus]| verdict(rules, &[], Severity::Page, Freshness::Stale);
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
            let verdict = verdict(&rules, &[], Severity::Page, Freshness::Absurd);
            assert_eq!(verdict, Signal::Nonsense);
            assert_eq!(verdict.missing(Freshness::Absurd), Some(Missing::Sense));
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
            verdict(&rules, &[], Severity::Ticket, Freshness::Fresh),
            Signal::Undeclared
        );
    }

    fn limit(standing: LimitState) -> LimitStatus {
        let burn = BurnContext {
            objective: Objective::from_ratio(0.99).unwrap(),
            kind: BurnKind::Ratio,
            window: LONG * 672,
            in_window: counts(10_000, 0),
            observed: LONG * 672,
            period: None,
        };
        let limit = LimitRule {
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
            freshness: Freshness::Fresh,
        };
        LimitStatus {
            standing,
            ..limit_status(&limit, numbers)
        }
    }

    #[test]
    fn a_limit_speaks_beside_burn_rates_as_one_more_rule() {
        let page = |rules: &[RuleStatus], standing| {
            verdict(rules, &[limit(standing)], Severity::Page, Freshness::Fresh)
        };
        let (cold, none) = (counts(100, 1), rules([NONE, NONE], [NONE, NONE]));
        let calm = rules([cold, cold], [cold, cold]);
        assert_eq!(page(&calm, LimitState::Over), breach(&["limit"]));
        assert_eq!(page(&calm, LimitState::Near), Signal::Between);
        assert_eq!(page(&calm, LimitState::Unknown), Signal::Clear);
        assert_eq!(page(&none, LimitState::Under), Signal::Clear);
        assert_eq!(page(&none, LimitState::Unknown), Signal::Unknown);
        assert_eq!(page(&[], LimitState::Over), breach(&["limit"]));
    }

    /// The verdict after each minute of a day at 1,000 events a minute, by one rule of 14.4 times an
    /// error budget of 0.1 % over an hour and five minutes.
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
            page(&[rule_status(&rule, Guard { bad_events: 5 }, &burn, &counts)])
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

    /// Table 5-5 of the SRE workbook: an outage of everything is noticed after 51.8 seconds.
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
}

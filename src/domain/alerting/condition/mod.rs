//! What the counts say now: of one rule a [`BurnCondition`], of all rules of a severity a [`Signal`].
//!
//! Pages and alerts use the same function, so a page never calls an SLO burning that nobody is notified
//! of.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{
    burn_rate::{BurnBounds, BurnContext, BurnRate, BurnRates, Window},
    limit::{LimitState, LimitStatus},
    rule_status::{
        BurnCondition, CLEAR_SHARE, CountsByLength, Freshness, Missing, RuleStatus, WindowStatus,
    },
    rule_statuses::RuleStatuses,
};
use crate::domain::{
    model::{counts::EventCounts, ids::Name},
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
    /// A rule would burn if what cannot be used is bad, and none burns if it is good: nobody is paged,
    /// and what fires is held.
    InDoubt {
        /// Whether every rule is clear if what cannot be used is good.
        clear_as_good: bool,
    },
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
            (_, Self::Undeclared)
            | (
                Freshness::Fresh,
                Self::Breach(_) | Self::Clear | Self::Between | Self::TooFew | Self::InDoubt { .. },
            ) => None,
            (Freshness::Absurd, _) | (_, Self::Nonsense) => Some(Missing::Sense),
            (Freshness::Stale, _) => Some(Missing::Ingest),
            (Freshness::Fresh, Self::Unknown) => Some(Missing::Events),
        }
    }
}

/// How a rule's two windows stand, and what that means. It is computed twice, as if what cannot be used
/// were good and as if it were bad, and burns only if it burns both times.
pub fn rule_status(
    rule: &AlertRule,
    guard: Guard,
    burn: &BurnBounds,
    counts: &CountsByLength,
) -> RuleStatus {
    let counted = |length| counts.get(&length).copied().unwrap_or_default();
    let (long, short) = (counted(rule.long), counted(rule.short));
    let is_usable = long.unusable() <= 0 && short.unusable() <= 0;
    let as_good = Computed::new(rule, &burn.as_good, long.as_good(), short.as_good());
    let as_bad = Computed::new(rule, &burn.as_bad, long.as_bad(), short.as_bad());
    let conditions = [&as_good, &as_bad].map(|one| one.condition(rule, guard));
    RuleStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        pending_for: rule.pending_for,
        factor: rule.factor,
        condition: match conditions {
            [condition, _] if is_usable => condition,
            [BurnCondition::Burning, BurnCondition::Burning] => BurnCondition::Burning,
            [BurnCondition::Burning, _] | [_, BurnCondition::Burning] => BurnCondition::InDoubt,
            [condition, _] => condition,
        },
        at_worst: (!is_usable).then_some(as_bad.rates),
        long: WindowStatus::of(rule.long, long, as_good.rates.long, &burn.as_good),
        short: WindowStatus::of(rule.short, short, as_good.rates.short, &burn.as_good),
    }
}

/// One of the two computations of a rule.
struct Computed {
    long: EventCounts,
    short: EventCounts,
    rates: BurnRates,
    is_young: bool,
}

impl Computed {
    fn new(rule: &AlertRule, burn: &BurnContext, long: EventCounts, short: EventCounts) -> Self {
        let window = Window {
            length: rule.long,
            counts: long,
        };
        Self {
            long,
            short,
            rates: burn.burn_rates(window, short),
            is_young: burn.is_younger_than(rule.short),
        }
    }

    fn condition(&self, rule: &AlertRule, guard: Guard) -> BurnCondition {
        let is_over = |rate: Option<BurnRate>| rate.is_some_and(|rate| rate.reaches(rule.factor));
        // Under the guard there are too few bad events to mean anything.
        let has_enough_bad = u64::try_from(self.long.bad()).unwrap_or(0) >= guard.bad_events;
        match (is_over(self.rates.long), is_over(self.rates.short)) {
            _ if self.long.total() <= 0 && self.short.total() <= 0 => BurnCondition::NoData,
            _ if self.is_young => BurnCondition::TooYoung,
            (true, true) if !has_enough_bad => BurnCondition::TooFew,
            (true, true) => BurnCondition::Burning,
            (false, true) => BurnCondition::Rising,
            (true, false) if !has_enough_bad => BurnCondition::Quiet,
            (true, false) => BurnCondition::Recovering,
            (false, false) => BurnCondition::Quiet,
        }
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
pub fn verdict(of: &RuleStatuses, severity: Severity, freshness: Freshness) -> Signal {
    // Data quality comes first: where it opens a ticket it is what people have to know.
    let quality = of.quality.iter().map(RuleState::of_limit);
    let rules = of.rules.iter().map(RuleState::of_rule);
    let limits = of.limits.iter().map(RuleState::of_limit);
    let states: Vec<RuleState<'_>> = quality
        .chain(rules)
        .chain(limits)
        .filter(|state| state.severity == severity)
        .collect();
    if states.is_empty() {
        return Signal::Undeclared;
    }
    if freshness == Freshness::Absurd {
        return Signal::Nonsense;
    }
    let over: Vec<BreachedRule> = states
        .iter()
        .filter(|state| state.now == LimitState::Over)
        .map(RuleState::breached)
        .collect();
    if severity == Severity::Page && of.has_never_ended() {
        return Signal::Unknown;
    }
    if !over.is_empty() {
        return Signal::Breach(over);
    }
    let now: Vec<LimitState> = states.iter().map(|state| state.now).collect();
    if freshness == Freshness::Fresh && now.contains(&LimitState::InDoubt) {
        let as_good: Vec<LimitState> = states.iter().map(|state| state.as_good).collect();
        return Signal::InDoubt {
            clear_as_good: combined(&as_good) == Signal::Clear,
        };
    }
    match freshness {
        Freshness::Fresh => combined(&now),
        Freshness::Stale | Freshness::Absurd => Signal::Unknown,
    }
}

/// Of rules none of which is over.
fn combined(states: &[LimitState]) -> Signal {
    if states.contains(&LimitState::Near) || states.contains(&LimitState::Over) {
        Signal::Between
    } else if states.contains(&LimitState::TooFew) {
        Signal::TooFew
    } else if states.contains(&LimitState::Under) {
        Signal::Clear
    } else {
        Signal::Unknown
    }
}

/// Where one rule is, seen from where it fires.
struct RuleState<'a> {
    name: &'a Name,
    severity: Severity,
    pending_for: Duration,
    now: LimitState,
    /// The same if what cannot be used is good.
    as_good: LimitState,
}

impl<'a> RuleState<'a> {
    fn of_limit(limit: &'a LimitStatus) -> Self {
        Self {
            name: &limit.name,
            severity: limit.severity,
            pending_for: limit.pending_for,
            now: limit.standing,
            as_good: limit.as_good.unwrap_or(limit.standing),
        }
    }

    fn of_rule(rule: &'a RuleStatus) -> Self {
        let as_good = state_as_good(rule);
        let is_near = |rate: BurnRate| rate.value() >= CLEAR_SHARE * rule.factor;
        let worst = rule.at_worst.and_then(|worst| worst.short);
        let is_hidden = as_good == LimitState::Under && worst.is_some_and(is_near);
        Self {
            name: &rule.name,
            severity: rule.severity,
            pending_for: rule.pending_for,
            now: if rule.condition == BurnCondition::InDoubt || is_hidden {
                LimitState::InDoubt
            } else {
                as_good
            },
            as_good,
        }
    }

    fn breached(&self) -> BreachedRule {
        BreachedRule {
            rule: self.name.clone(),
            pending_for: self.pending_for,
        }
    }
}

/// Of a rule that does not burn the short window tells whether it is over. One whose short window the
/// SLO is too young for cannot tell; where it is high all the same, it keeps what a faster rule has
/// fired from resolving only to fire again.
fn state_as_good(rule: &RuleStatus) -> LimitState {
    let is_young = rule.condition == BurnCondition::TooYoung;
    match (rule.condition, rule.short.burn_rate) {
        (BurnCondition::Burning, _) => LimitState::Over,
        (BurnCondition::TooFew, _) => LimitState::TooFew,
        (_, Some(rate)) if rate >= CLEAR_SHARE * rule.factor => LimitState::Near,
        (_, Some(_)) if !is_young => LimitState::Under,
        (_, Some(_) | None) => LimitState::Unknown,
    }
}

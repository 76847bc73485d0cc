//! The conditions of rules at one moment: a [`BurnCondition`] for one rule, a [`Signal`] for all
//! rules of a severity.
//!
//! Pages and alerts use the same function, so a page never shows an SLO as burning without an
//! alert.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{
    burn_rate::{BurnBounds, BurnContext, BurnRate, BurnRates, Window},
    rule_status::{
        BurnCondition, CLEAR_SHARE, CountsByLength, Freshness, Missing, RuleStatus, WindowStatus,
    },
    rule_statuses::RuleStatuses,
    threshold::{ThresholdState, ThresholdStatus},
};
use crate::domain::{
    model::{counts::EventCounts, ids::Name},
    slo::{AlertRule, Guard, Severity},
};

/// The combined result of all rules of one severity, which drives the alert's state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// At least one rule burns: the burning rules, in their order.
    Breach(Vec<BreachedRule>),
    /// Every rule's short window is well below its factor, every number well short of its limit.
    Clear,
    /// Neither: not burning, but too close to regard as clear.
    Between,
    /// A rule would burn if there were more bad events; so few mean nothing.
    TooFew,
    /// A rule burns with unusable events counted as bad, and none burns with them counted as good:
    /// no page is sent, and a firing alert stays.
    InDoubt {
        /// True if every rule is clear with unusable events counted as good.
        clear_as_good: bool,
    },
    /// No verdict is possible, so no alert may resolve.
    Unknown,
    /// The counts are inconsistent, so nothing is concluded from them.
    Inconsistent,
    /// No rule of this severity is declared any more.
    Undeclared,
}

/// A rule that burns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreachedRule {
    pub rule: Name,
    /// The time for which it must burn before a notification.
    pub pending_for: Duration,
}

impl Signal {
    /// Returns the missing input without which the alert cannot resolve, if this signal means that.
    pub const fn missing(&self, freshness: Freshness) -> Option<Missing> {
        match (freshness, self) {
            (_, Self::Undeclared)
            | (
                Freshness::Fresh,
                Self::Breach(_) | Self::Clear | Self::Between | Self::TooFew | Self::InDoubt { .. },
            ) => None,
            (Freshness::Inconsistent, _) | (_, Self::Inconsistent) => {
                Some(Missing::ConsistentCounts)
            }
            (Freshness::Stale, _) => Some(Missing::Ingest),
            (Freshness::Fresh, Self::Unknown) => Some(Missing::Events),
        }
    }
}

/// Evaluates a rule's two windows. This is done twice, with unusable events counted as good and as
/// bad, and the rule burns only if it burns both times.
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

/// Returns the worse of two looks at a rule: one at windows that end now, the other at windows that
/// end where all timeouts are counted. So a rule burns if either burns, and is clear only if both
/// are. A look without events says nothing about the other.
pub(super) fn worse_of(now: RuleStatus, settled: RuleStatus) -> RuleStatus {
    let rank = |rule: &RuleStatus| match RuleState::of_rule(rule).now {
        ThresholdState::Over => 4,
        ThresholdState::InDoubt => 3,
        ThresholdState::Near => 2,
        ThresholdState::TooFew => 1,
        ThresholdState::Under | ThresholdState::Unknown => 0,
    };
    if rank(&settled) > rank(&now) {
        settled
    } else {
        now
    }
}

/// One of the two evaluations of a rule.
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
        // Below the guard there are too few bad events to mean anything.
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

/// Combines the rules of `severity`. They are OR-ed: one that burns is a breach, and only if all
/// are clear the signal is clear.
///
/// A short window without events shows nothing. It is ignored while a longer short window has
/// events, or a queue with a workflow every ten minutes would never be clear of a rule with a
/// window of five; if none has any, the signal is unknown. Stale counts may lack good and bad
/// events alike: the bad ones that are present are true and may fire, the absence of others proves
/// nothing.
pub fn verdict(of: &RuleStatuses, severity: Severity, freshness: Freshness) -> Signal {
    // Data quality comes first: if it opens a ticket, this is the most important rule for people.
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
    if freshness == Freshness::Inconsistent {
        return Signal::Inconsistent;
    }
    let over: Vec<BreachedRule> = states
        .iter()
        .filter(|state| state.now == ThresholdState::Over)
        .map(RuleState::breached)
        .collect();
    if severity == Severity::Page && of.has_never_ended() {
        return Signal::Unknown;
    }
    if !over.is_empty() {
        return Signal::Breach(over);
    }
    let now: Vec<ThresholdState> = states.iter().map(|state| state.now).collect();
    if freshness == Freshness::Fresh && now.contains(&ThresholdState::InDoubt) {
        let as_good: Vec<ThresholdState> = states.iter().map(|state| state.as_good).collect();
        return Signal::InDoubt {
            clear_as_good: combined(&as_good) == Signal::Clear,
        };
    }
    match freshness {
        Freshness::Fresh => combined(&now),
        Freshness::Stale | Freshness::Inconsistent => Signal::Unknown,
    }
}

/// Combines rules none of which is over its limit.
fn combined(states: &[ThresholdState]) -> Signal {
    if states.contains(&ThresholdState::Near) || states.contains(&ThresholdState::Over) {
        Signal::Between
    } else if states.contains(&ThresholdState::TooFew) {
        Signal::TooFew
    } else if states.contains(&ThresholdState::Under) {
        Signal::Clear
    } else {
        Signal::Unknown
    }
}

/// The state of one rule relative to its threshold.
struct RuleState<'a> {
    name: &'a Name,
    severity: Severity,
    pending_for: Duration,
    now: ThresholdState,
    /// The same with unusable events counted as good.
    as_good: ThresholdState,
}

impl<'a> RuleState<'a> {
    fn of_limit(limit: &'a ThresholdStatus) -> Self {
        Self {
            name: &limit.name,
            severity: limit.severity,
            pending_for: limit.pending_for,
            now: limit.state,
            as_good: limit.as_good.unwrap_or(limit.state),
        }
    }

    fn of_rule(rule: &'a RuleStatus) -> Self {
        let as_good = state_as_good(rule);
        let is_near = |rate: BurnRate| rate.value() >= CLEAR_SHARE * rule.factor;
        let worst = rule.at_worst.and_then(|worst| worst.short);
        let is_hidden = as_good == ThresholdState::Under && worst.is_some_and(is_near);
        Self {
            name: &rule.name,
            severity: rule.severity,
            pending_for: rule.pending_for,
            now: if rule.condition == BurnCondition::InDoubt || is_hidden {
                ThresholdState::InDoubt
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

/// Returns the state of a rule. If the rule does not burn, its short window shows whether it is
/// clear. If the SLO is too young for the short window, it cannot be clear; if the window is high
/// nevertheless, it is near, so that an alert fired by a faster rule does not resolve only to fire
/// again.
fn state_as_good(rule: &RuleStatus) -> ThresholdState {
    let is_young = rule.condition == BurnCondition::TooYoung;
    match (rule.condition, rule.short.burn_rate) {
        (BurnCondition::Burning, _) => ThresholdState::Over,
        (BurnCondition::TooFew, _) => ThresholdState::TooFew,
        (_, Some(rate)) if rate >= CLEAR_SHARE * rule.factor => ThresholdState::Near,
        (_, Some(_)) if !is_young => ThresholdState::Under,
        (_, Some(_) | None) => ThresholdState::Unknown,
    }
}

//! What the counts say now: of one rule a [`BurnCondition`], of all rules of a severity a [`Signal`].
//!
//! Pages and alerts use the same function, so a page never calls an SLO burning that nobody is told
//! of.

#[cfg(test)]
mod tests;

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
    RuleStatus {
        name: rule.name.clone(),
        severity: rule.severity,
        pending_for: rule.pending_for,
        factor: rule.factor,
        condition: match (is_over(rates.long), is_over(rates.short)) {
            (false, false) if long.total() <= 0 && short.total() <= 0 => BurnCondition::NoData,
            _ if burn.is_younger_than(rule.short) => BurnCondition::TooYoung,
            (true, true) if !has_enough_bad => BurnCondition::TooFew,
            (true, true) => BurnCondition::Burning,
            (false, true) => BurnCondition::Rising,
            (true, false) if !has_enough_bad => BurnCondition::Quiet,
            (true, false) => BurnCondition::Recovering,
            (false, false) => BurnCondition::Quiet,
        },
        long: WindowStatus::of(rule.long, long, rates.long, burn),
        short: WindowStatus::of(rule.short, short, rates.short, burn),
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

/// Of a rule that does not burn the short window tells whether it is over. One whose short window the
/// SLO is too young for cannot tell; where it is high all the same, it keeps what a faster rule has
/// fired from resolving only to fire again.
fn standing(rule: &RuleStatus) -> LimitState {
    match rule.short.burn_rate {
        Some(rate)
            if rule.condition == BurnCondition::TooYoung && rate < CLEAR_SHARE * rule.factor =>
        {
            LimitState::Unknown
        }
        _ if rule.condition == BurnCondition::Burning => LimitState::Over,
        _ if rule.condition == BurnCondition::TooFew => LimitState::TooFew,
        Some(rate) if rate >= CLEAR_SHARE * rule.factor => LimitState::Near,
        Some(_) => LimitState::Under,
        None => LimitState::Unknown,
    }
}

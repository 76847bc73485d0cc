//! All rules of one SLO at one moment.

use std::time::Duration;

use super::{
    burn_rate::BurnRate,
    limit::{LimitState, LimitStatus},
    rule_status::{BurnCondition, RuleStatus, WindowStatus},
};
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    slo::{Limit, Severity},
};

/// The statuses of all rules of an SLO at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleStatuses {
    pub rules: Vec<RuleStatus>,
    pub limits: Vec<LimitStatus>,
    /// The rules on data quality that every SLO with rules has; they open tickets.
    pub quality: Vec<LimitStatus>,
}

/// Returns the long window of the rule of this name; a rule on one number has one window.
pub(super) fn long_window<'a>(
    rules: &'a [RuleStatus],
    limits: [&'a [LimitStatus]; 2],
    name: &Name,
) -> Option<&'a WindowStatus> {
    let burn = rules.iter().map(|rule| (&rule.name, &rule.long));
    let limits = limits.into_iter().flatten();
    let limits = limits.map(|limit| (&limit.name, &limit.window));
    let found = burn.chain(limits).find(|(known, _)| *known == name);
    found.map(|(_, window)| window)
}

impl RuleStatuses {
    /// Returns whether no end has ever been joined with a start, and a rule burns: then a ticket is
    /// opened instead of a page.
    pub fn has_never_ended(&self) -> bool {
        let mut quality = self.quality.iter();
        quality.any(|rule| rule.limit == Limit::NeverEnded)
    }

    /// Returns the long and the short window of the rule of this name, and whether it is a rule on
    /// absence. A rule on one number has one window.
    pub fn windows_of(&self, name: &Name) -> Option<(Duration, Duration, bool)> {
        let length = |window: &WindowStatus| Duration::from_secs(window.secs);
        if let Some(rule) = self.rules.iter().find(|rule| rule.name == *name) {
            return Some((length(&rule.long), length(&rule.short), false));
        }
        let mut limits = self.limits.iter().chain(&self.quality);
        let limit = limits.find(|limit| limit.name == *name)?;
        let is_absence = matches!(limit.limit, Limit::Absence { .. });
        Some((length(&limit.window), length(&limit.window), is_absence))
    }

    /// Returns the burn rate of the long window of the rule of this name.
    pub(super) fn burn_rate(&self, name: &Name) -> Option<BurnRate> {
        let window = long_window(&self.rules, [&self.limits, &self.quality], name)?;
        BurnRate::of_value(window.burn_rate?)
    }

    /// Returns the end of the windows of the rule of this name, if that is not the moment of the
    /// evaluation.
    pub fn settled_until(&self, name: &Name) -> Option<Timestamp> {
        long_window(&self.rules, [&self.limits, &self.quality], name)?.settled_until
    }

    /// Returns whether the rule of this name compares events with a budget.
    pub fn is_on_budget(&self, name: &Name) -> bool {
        let mut limits = self.limits.iter().chain(&self.quality);
        let limit = limits.find(|limit| limit.name == *name);
        limit.is_none_or(|limit| !matches!(limit.limit, Limit::AtRisk { .. }))
    }

    /// Returns whether the short window of the rule on burn rates of this name shows that the budget
    /// does not fall any more.
    pub(super) fn has_stopped(&self, name: &Name) -> bool {
        let rule = self.rules.iter().find(|rule| rule.name == *name);
        let rate = rule.and_then(|rule| BurnRate::of_value(rule.short.burn_rate?));
        rate.is_some_and(|rate| !rate.reaches(1.0))
    }

    /// Every window that a rule looks at.
    pub(super) fn windows_mut(&mut self) -> impl Iterator<Item = &mut WindowStatus> {
        let burn = self.rules.iter_mut();
        let limits = self.limits.iter_mut().chain(&mut self.quality);
        burn.flat_map(|rule| [&mut rule.long, &mut rule.short])
            .chain(limits.map(|limit| &mut limit.window))
    }

    /// The seconds that the budget lasts by the rule of this name, if it is one on exactly that.
    pub fn exhaustion(&self, name: &Name) -> Option<f64> {
        let limit = self.limits.iter().find(|limit| limit.name == *name)?;
        matches!(limit.limit, Limit::Exhaustion { .. })
            .then_some(limit.value)
            .flatten()
    }

    /// Whether a rule that pages burns only if what cannot be used is bad.
    pub fn is_page_in_doubt(&self) -> bool {
        let rules = self.rules.iter().map(|rule| {
            let is_in_doubt = rule.condition == BurnCondition::InDoubt;
            (rule.severity, is_in_doubt)
        });
        let limits = self.limits.iter().map(|limit| {
            let is_in_doubt = limit.standing == LimitState::InDoubt;
            (limit.severity, is_in_doubt)
        });
        rules
            .chain(limits)
            .any(|(severity, is_in_doubt)| severity == Severity::Page && is_in_doubt)
    }
}

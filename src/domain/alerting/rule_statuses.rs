//! All rules of one SLO at one moment.

use super::{
    rule_status::{BurnCondition, RuleStatus, WindowStatus},
    threshold::{ThresholdState, ThresholdStatus},
};
use crate::domain::{
    model::ids::Name,
    slo::{Limit, Severity},
};

/// The statuses of all rules of an SLO at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleStatuses {
    pub rules: Vec<RuleStatus>,
    pub limits: Vec<ThresholdStatus>,
    /// The rules on data quality that every SLO with rules has; they open tickets.
    pub quality: Vec<ThresholdStatus>,
}

/// The windows of one rule at one moment. A rule on one number has one window, which is both.
#[derive(Clone, Copy, Debug)]
pub struct RuleWindowsStatus<'a> {
    pub long: &'a WindowStatus,
    pub short: &'a WindowStatus,
    /// `None` for a rule on burn rates.
    pub limit: Option<&'a Limit>,
}

/// Returns the windows of the rule of this name, if there is such a rule.
pub(super) fn windows_of<'a>(
    rules: &'a [RuleStatus],
    limits: [&'a [ThresholdStatus]; 2],
    name: &Name,
) -> Option<RuleWindowsStatus<'a>> {
    let of_burn = rules.iter().find(|rule| rule.name == *name);
    let mut limits = limits.into_iter().flatten();
    let of_burn = of_burn.map(|rule| RuleWindowsStatus {
        long: &rule.long,
        short: &rule.short,
        limit: None,
    });
    of_burn.or_else(|| {
        let rule = limits.find(|limit| limit.name == *name)?;
        Some(RuleWindowsStatus {
            long: &rule.window,
            short: &rule.window,
            limit: Some(&rule.limit),
        })
    })
}

impl RuleStatuses {
    /// Returns whether no end has ever been joined with a start, and a rule burns: then a ticket is
    /// opened instead of a page.
    pub fn has_never_ended(&self) -> bool {
        let mut quality = self.quality.iter();
        quality.any(|rule| rule.limit == Limit::NeverEnded)
    }

    /// Returns the windows of the rule of this name, if there is such a rule.
    pub fn windows_of(&self, name: &Name) -> Option<RuleWindowsStatus<'_>> {
        windows_of(&self.rules, [&self.limits, &self.quality], name)
    }

    /// Returns every window that a rule uses.
    pub(super) fn windows_mut(&mut self) -> impl Iterator<Item = &mut WindowStatus> {
        let burn = self.rules.iter_mut();
        let limits = self.limits.iter_mut().chain(&mut self.quality);
        burn.flat_map(|rule| [&mut rule.long, &mut rule.short])
            .chain(limits.map(|limit| &mut limit.window))
    }

    /// Returns the seconds that the budget lasts by the rule of this name, if it is a rule on that.
    pub fn exhaustion(&self, name: &Name) -> Option<f64> {
        let limit = self.limits.iter().find(|limit| limit.name == *name)?;
        matches!(limit.limit, Limit::Exhaustion { .. })
            .then_some(limit.value)
            .flatten()
    }

    /// Returns whether a rule that pages burns only with unusable events counted as bad.
    pub fn is_page_in_doubt(&self) -> bool {
        let rules = self.rules.iter().map(|rule| {
            let is_in_doubt = rule.condition == BurnCondition::InDoubt;
            (rule.severity, is_in_doubt)
        });
        let limits = self.limits.iter().map(|limit| {
            let is_in_doubt = limit.state == ThresholdState::InDoubt;
            (limit.severity, is_in_doubt)
        });
        rules
            .chain(limits)
            .any(|(severity, is_in_doubt)| severity == Severity::Page && is_in_doubt)
    }
}

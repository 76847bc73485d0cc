//! The numbers of a snapshot, all from one measurement, so that they are of the same time.

use super::{AlertSnapshot, Context};
use crate::domain::{
    alerting::{
        alert::Transition,
        rule_status::{RuleStatus, WindowStatus},
        rule_statuses::RuleStatuses,
        status::Measured,
        threshold::ThresholdStatus,
    },
    model::ids::Name,
    slo::{CustomerDetails, Indicator, Severity, Slo},
};

impl AlertSnapshot {
    /// Returns the snapshot of `transition` as measured, without its context. `None` if no rule of
    /// the severity is left.
    pub fn measured(
        slo: &Slo,
        measured: &Measured,
        rules: &RuleStatuses,
        severity: Severity,
        transition: &Transition,
    ) -> Option<Self> {
        let episode = &transition.episode;
        let rule = Reacting::find(rules, severity, &episode.rule)?;
        let burn = measured.burn_context(slo);
        let lasts = measured.budget_lasts(slo, rules, Some(&rule.name));
        Some(Self {
            is_test: false,
            kind: transition.change.kind(),
            slo: slo.name.clone(),
            display_name: slo.display_name.clone(),
            group: None,
            service: slo.service.clone(),
            labels: slo.labels.clone(),
            severity,
            rule: rule.name,
            factor: rule.factor,
            limit: rule.limit,
            episode: episode.id,
            version: transition.version,
            objective: slo.objective.ratio(),
            window_secs: slo.window.length().as_secs(),
            calendar: slo.window.unit(),
            within_secs: within_secs(slo),
            long: rule.long,
            short: rule.short,
            customers_affected: names_customers(slo).then_some(measured.customers_affected),
            customers_total: measured.customers_total.filter(|_| names_customers(slo)),
            budget_remaining: burn.budget_remaining(),
            bad_events_allowed: burn.bad_events_allowed(),
            budget_empty_in_secs: lasts.map(|lasts| lasts.as_secs()),
            began_at: Some(episode.began_at),
            evaluated_at: transition.at,
            fired_at: Some(episode.fired_at),
            nth_today: None,
            development: None,
            acknowledged: None,
            finish_unmatched_since: measured.finish_unmatched_since,
            worst: Vec::new(),
            differences: Vec::new(),
            slowest_stage: None,
            context: Context::default(),
            runbook: slo.runbook.clone(),
            page_url: None,
            episode_summary: None,
        })
    }
}

/// The numbers of a rule in a snapshot. A rule on a limit has one window, and its factor is 1.
struct Reacting {
    name: Name,
    factor: f64,
    long: WindowStatus,
    short: WindowStatus,
    limit: Option<ThresholdStatus>,
}

impl Reacting {
    /// Finds the rule that fired; if it was removed by an edit, another of its severity.
    fn find(of: &RuleStatuses, severity: Severity, fired: &Name) -> Option<Self> {
        let burn = of.rules.iter().filter(|rule| rule.severity == severity);
        let limits = of.quality.iter().chain(&of.limits);
        let limits = limits.filter(|rule| rule.severity == severity);
        let mut of_severity = burn.map(Self::on_burn).chain(limits.map(Self::on_limit));
        let first = of_severity.clone().next();
        of_severity.find(|rule| rule.name == *fired).or(first)
    }

    fn on_burn(rule: &RuleStatus) -> Self {
        Self {
            name: rule.name.clone(),
            factor: rule.factor,
            long: rule.long.clone(),
            short: rule.short.clone(),
            limit: None,
        }
    }

    fn on_limit(rule: &ThresholdStatus) -> Self {
        Self {
            name: rule.name.clone(),
            factor: 1.0,
            long: rule.window.clone(),
            short: rule.window.clone(),
            limit: Some(rule.clone()),
        }
    }
}

/// Returns whether messages may contain the number of affected customers.
fn names_customers(slo: &Slo) -> bool {
    slo.customer.is_some() && slo.customer_details != CustomerDetails::None
}

fn within_secs(slo: &Slo) -> Option<f64> {
    match &slo.indicator {
        Indicator::Workflow(workflow) => Some(workflow.within.as_secs_f64()),
        Indicator::Span(_) => None,
    }
}

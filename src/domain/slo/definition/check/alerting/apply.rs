//! Applies policies to one objective: computes factors from shares of the budget, and rejects rules
//! that cannot work.

use std::collections::BTreeMap;

use super::{
    BudgetTerms, limit,
    policy::{self, BurnThreshold, BurnTrigger, Origin, Policy, Rule, RuleTrigger},
};
use crate::domain::{
    model::ids::Name,
    slo::{
        AlertRule, Alerting, Severity, ThresholdRule,
        definition::{
            check::{
                References,
                document::{self, API_VERSION},
            },
            diagnostics::{Diagnostics, Reported, SourceSpan},
            fields::Fields,
            shape::Shape,
            suggest,
            value::{Checked, YamlValue},
        },
        duration::format_duration,
    },
};

pub(crate) const STANDARD: &str = "standard";

/// A policy, and the position at which the SLO refers to it.
struct Use {
    policy: Policy,
    place: SourceSpan,
}

pub(crate) fn read(
    fields: &Fields<'_>,
    terms: Checked<BudgetTerms>,
    known: &References,
) -> Checked<Alerting> {
    let findings = fields.findings;
    let about = "Names of policies, or policies in place. `standard` if left out.";
    let uses = fields.optional("alertPolicies", about, |value| {
        value.list(|value| {
            let place = value.place();
            let policy = one(value, known)?;
            Ok(Use { policy, place })
        })
    })?;
    let terms = terms?;
    let uses = if let Some(uses) = uses {
        uses
    } else {
        let place = terms.place;
        let policy = by_name(STANDARD, known).and_then(Option::as_ref).cloned();
        let policy = policy.ok_or(Reported)?;
        vec![Use { policy, place }]
    };
    let mut alerting = settings(findings, &uses)?;
    (alerting.rules, alerting.limits) = rules(findings, &uses, terms)?;
    for used in &uses {
        warn_of_misfit(findings, &used.policy, terms, known);
    }
    if alerting.rules.is_empty() && alerting.limits.is_empty() {
        let place = if fields.has("alertPolicies") {
            fields.at("alertPolicies")
        } else {
            terms.place
        };
        findings.warn(
            place,
            "no rule is left: this SLO never alerts",
            "write a policy whose windows and burn rates suit it".to_owned(),
        );
    }
    Ok(alerting)
}

fn one(value: YamlValue<'_>, known: &References) -> Checked<Policy> {
    value.text_or_group(
        |value| {
            let name = value.scalar(Shape::Name)?;
            if let Some(policy) = by_name(name, known) {
                return policy.clone().ok_or(Reported);
            }
            let names = known.policies.keys().map(Name::as_str);
            let message = format!("there is no alert policy `{name}`");
            Err(value.error_with_help(message, suggest::did_you_mean(name, names)))
        },
        |value| {
            let about = "A policy of one SLO.";
            value.group("PolicyInPlace", about, |fields| {
                // Errors in these are reported, and the others are still found.
                let _version =
                    fields.optional("apiVersion", "", |value| value.constant(API_VERSION));
                let _kind = fields.optional("kind", "", |value| value.constant("AlertPolicy"));
                let metadata = document::metadata(fields);
                let name = metadata.and_then(|metadata| metadata.name);
                fields.required("spec", "", |value| policy::read(value, name.as_ref().ok()))
            })
        },
    )
}

/// Finds a policy. The inner `None` is a policy with errors of its own.
fn by_name<'k>(name: &str, known: &'k References) -> Option<&'k Option<Policy>> {
    let mut policies = known.policies.iter();
    policies
        .find(|(known, _)| known.as_str() == name)
        .map(|(_, policy)| policy)
}

/// Returns the settings that all rules of an SLO share. Several policies must agree on them.
fn settings(findings: &Diagnostics<'_>, uses: &[Use]) -> Checked<Alerting> {
    let Some((first, others)) = uses.split_first() else {
        return Ok(Alerting::default());
    };
    let shared = |policy: &Policy| (policy.guard, policy.burn, policy.resolve_after);
    for other in others {
        if shared(&other.policy) != shared(&first.policy) {
            return Err(findings.error_with_help(
                other.place,
                format!(
                    "not yet supported: `{}` and `{}` differ in `guard`, `burn` or `resolveAfter`",
                    first.policy.name, other.policy.name
                ),
                "policies of one SLO must agree in these".to_owned(),
            ));
        }
    }
    Ok(Alerting {
        rules: Vec::new(),
        limits: Vec::new(),
        guard: first.policy.guard,
        burn: first.policy.burn,
        resolve_after: first.policy.resolve_after,
    })
}

fn rules(
    findings: &Diagnostics<'_>,
    uses: &[Use],
    terms: BudgetTerms,
) -> Checked<(Vec<AlertRule>, Vec<ThresholdRule>)> {
    let (mut rules, mut limits) = (Vec::new(), Vec::new());
    let mut policy_of: BTreeMap<&Name, &Name> = BTreeMap::new();
    let mut valid = Ok(());
    for used in uses {
        for rule in &used.policy.rules {
            if let Some(other) = policy_of.insert(&rule.name, &used.policy.name) {
                let message = format!(
                    "`{}` and `{other}` both have a rule named `{}`",
                    used.policy.name, rule.name
                );
                let help = "rename one of them".to_owned();
                valid = Err(findings.error_with_help(used.place, message, help));
                continue;
            }
            match fit(findings, used, rule, terms) {
                Fit::Burn(rule) => rules.push(rule),
                Fit::Limit(rule) => limits.push(rule),
                Fit::LeftOut => {}
                Fit::Refused(reported) => valid = Err(reported),
            }
        }
    }
    valid.map(|()| (rules, limits))
}

enum Fit {
    Burn(AlertRule),
    Limit(ThresholdRule),
    /// The window is too short for it.
    LeftOut,
    /// With an error.
    Refused(Reported),
}

fn fit(findings: &Diagnostics<'_>, used: &Use, rule: &Rule, terms: BudgetTerms) -> Fit {
    let limit = match rule.asked {
        RuleTrigger::Burn(burn) => return fit_burn(findings, used, rule, burn, terms),
        RuleTrigger::Limit(limit) => limit,
    };
    if let Some((why, help)) = limit::never_reached(limit, terms) {
        let which = format!("rule `{}` of policy `{}`", rule.name, used.policy.name);
        return refuse(findings, used, &format!("{which} {why}"), help);
    }
    Fit::Limit(ThresholdRule {
        name: rule.name.clone(),
        severity: rule.severity,
        limit,
        pending_for: rule.pending_for,
    })
}

fn fit_burn(
    findings: &Diagnostics<'_>,
    used: &Use,
    rule: &Rule,
    burn: BurnTrigger,
    terms: BudgetTerms,
) -> Fit {
    let fitted = match used.policy.origin {
        Origin::BuiltIn => Ok(fit_built_in(rule.severity, burn, terms)),
        Origin::Written => fit_written(burn, terms).map(Some),
    };
    let factor = match fitted {
        Ok(Some(factor)) => factor,
        Ok(None) => return Fit::LeftOut,
        Err((why, help)) => {
            let which = format!("rule `{}` of policy `{}`", rule.name, used.policy.name);
            return refuse(findings, used, &format!("{which} {why}"), help);
        }
    };
    Fit::Burn(AlertRule {
        name: rule.name.clone(),
        severity: rule.severity,
        factor,
        long: burn.long,
        short: burn.short,
        pending_for: rule.pending_for,
    })
}

/// Returns the burn rate that a rule requests under `terms`, which may be below 1.
fn wanted(burn: BurnTrigger, terms: BudgetTerms) -> f64 {
    match burn.threshold {
        BurnThreshold::Factor(factor) => factor,
        BurnThreshold::Spend(share) => share * terms.window.as_secs_f64() / burn.long.as_secs_f64(),
    }
}

/// Returns the factor of a built-in rule; `None` if the window is too short for it.
///
/// For a window of 30 days and objectives of 97 % or more it is that of the SRE workbook. In
/// shorter windows the same spend would be a burn rate below 1; in longer ones or at lower
/// objectives it would be a rate that cannot be reached. There the spend is adjusted so that the
/// factor stays between 1 and 20, and at most 0.8 of the maximum burn rate. A page requires at
/// least 2: at 1 the budget lasts until the end of its window, which does not justify a page.
fn fit_built_in(severity: Severity, burn: BurnTrigger, terms: BudgetTerms) -> Option<f64> {
    if burn.long > terms.window {
        return None;
    }
    let least: f64 = match severity {
        Severity::Page => 2.0,
        Severity::Ticket => 1.0,
    };
    let most = (0.8 * terms.objective.max_burn_rate()).clamp(1.0, 20.0);
    Some(wanted(burn, terms).max(least).min(most))
}

/// Returns the factor of a user's rule, or why it cannot work and what to write instead.
fn fit_written(burn: BurnTrigger, terms: BudgetTerms) -> Result<f64, (String, &'static str)> {
    if burn.long > terms.window {
        let (long, window) = (format_duration(burn.long), format_duration(terms.window));
        return Err((
            format!("looks back {long}, but the window of the objective is only {window}"),
            "write a policy with shorter windows",
        ));
    }
    // In a short SLO window, `spend` may amount to a burn rate below 1, at which the objective is
    // not violated.
    let factor = wanted(burn, terms).max(1.0);
    let most = terms.objective.max_burn_rate();
    // A difference this small is a rounding error.
    if factor > most * (1.0 + 1e-9) {
        return Err((
            format!(
                "can never fire: it reacts at a burn rate of {}, but at {} nothing but bad events burns at \
                 {}",
                short(factor),
                terms.objective,
                short(most)
            ),
            "raise the objective, or write a policy with a lower `spend` or `factor`, or a longer `long`",
        ));
    }
    Ok(factor)
}

/// Warns once per policy and window, even if many SLOs have both, since the policy does not fit.
fn warn_of_misfit(
    findings: &Diagnostics<'_>,
    policy: &Policy,
    terms: BudgetTerms,
    known: &References,
) {
    let raised: Vec<String> = policy
        .rules
        .iter()
        .filter_map(|rule| match rule.asked {
            RuleTrigger::Burn(burn) => Some((rule, wanted(burn, terms))),
            RuleTrigger::Limit(_) => None,
        })
        .filter(|(_, wanted)| *wanted < 1.0)
        .map(|(rule, wanted)| format!("`{}` at {wanted:.2}", rule.name))
        .collect();
    let is_news = || {
        let key = (policy.name.clone(), terms.window);
        known.misfits.borrow_mut().insert(key)
    };
    if policy.origin == Origin::Written && !raised.is_empty() && is_news() {
        let window = format_duration(terms.window);
        findings.warn(
            terms.window_place,
            format!(
                "policy `{}` does not fit a window of {window}: rules would react at a burn rate below 1 and \
                 are raised to 1: {}",
                policy.name,
                raised.join(", ")
            ),
            format!("1 spends the budget in exactly {window}: write a higher `spend`, or `factor`"),
        );
    }
}

/// Reports a rule that cannot work as an error.
fn refuse(findings: &Diagnostics<'_>, used: &Use, message: &str, help: &str) -> Fit {
    Fit::Refused(findings.error_with_help(used.place, message, help.to_owned()))
}

/// Formats a number with a sensible number of digits.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

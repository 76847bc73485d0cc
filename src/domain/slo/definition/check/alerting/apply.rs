//! Policies applied to one objective: factors from shares of the budget, and rules that cannot work.

use std::{collections::BTreeMap, time::Duration};

use super::{
    limit,
    policy::{self, BurnThreshold, BurnTrigger, Origin, Policy, Rule, RuleTrigger},
};
use crate::domain::{
    model::{ids::Name, objective::Objective},
    slo::{
        AlertRule, Alerting, LimitRule,
        definition::{
            check::{References, values},
            diagnostics::{Diagnostics, SourceSpan},
            file::{PolicyInPlace, SloSpec},
            read::{Field, TextOr},
            suggest,
        },
        duration::format_duration,
    },
};

const STANDARD: &str = "standard";

/// What rules must be able to serve, and where it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetTerms {
    objective: Objective,
    pub(crate) window: Duration,
    pub(crate) names_customers: bool,
    place: SourceSpan,
}

impl BudgetTerms {
    /// `None` where the objective or the window is wrong itself.
    pub(crate) fn of(
        objective: Option<Objective>,
        window: Option<Duration>,
        spec: &SloSpec,
    ) -> Option<Self> {
        Some(Self {
            objective: objective?,
            window: window?,
            names_customers: spec.customer.is_some(),
            place: spec.objective.valid()?.1,
        })
    }
}

/// A policy, and where the SLO asks for it.
struct Use {
    policy: Policy,
    place: SourceSpan,
}

pub(crate) fn check(
    findings: &Diagnostics<'_>,
    field: Option<&Field<Vec<Field<TextOr<PolicyInPlace>>>>>,
    promise: Option<BudgetTerms>,
    known: &References,
) -> Option<Alerting> {
    let (uses, place) = match field {
        None => {
            let place = promise?.place;
            let policy = by_name(findings, STANDARD, place, known)?;
            (vec![Use { policy, place }], place)
        }
        Some(field) => {
            let (fields, place) = field.valid()?;
            let uses: Vec<Option<Use>> = fields
                .iter()
                .map(|field| {
                    let (file, place) = field.valid()?;
                    let policy = one(findings, file, place, known)?;
                    Some(Use { policy, place })
                })
                .collect();
            (uses.into_iter().collect::<Option<Vec<Use>>>()?, place)
        }
    };
    let promise = promise?;
    let mut alerting = settings(findings, &uses)?;
    (alerting.rules, alerting.limits) = rules(findings, &uses, promise)?;
    if alerting.rules.is_empty() && alerting.limits.is_empty() {
        findings.warn(
            place,
            "no rule is left: this SLO never alerts",
            "write a policy whose windows and burn rates suit it".to_owned(),
        );
    }
    Some(alerting)
}

fn one(
    findings: &Diagnostics<'_>,
    file: &TextOr<PolicyInPlace>,
    place: SourceSpan,
    known: &References,
) -> Option<Policy> {
    match file {
        TextOr::Text(name) => by_name(findings, name, place, known),
        TextOr::Shape(file) => {
            in_place_kind(findings, file);
            let name = values::required_ref(findings, &file.metadata, place, "metadata")
                .and_then(|(metadata, place)| values::name(findings, &metadata.name, place));
            let (spec, place) = values::required_ref(findings, &file.spec, place, "spec")?;
            policy::policy(findings, name, spec, place)
        }
    }
}

fn in_place_kind(findings: &Diagnostics<'_>, file: &PolicyInPlace) {
    for (field, expected) in [
        (
            &file.api_version,
            crate::domain::slo::definition::file::API_VERSION,
        ),
        (&file.kind, "AlertPolicy"),
    ] {
        if let Some((text, place)) = values::optional(field.as_ref())
            && text != expected
        {
            findings.error(place, format!("`{expected}` is expected here"));
        }
    }
}

fn by_name(
    findings: &Diagnostics<'_>,
    name: &str,
    place: SourceSpan,
    known: &References,
) -> Option<Policy> {
    let found = known
        .policies
        .iter()
        .find(|(known, _)| known.as_str() == name);
    if let Some((_, policy)) = found {
        return policy.clone();
    }
    findings.error_with_help(
        place,
        format!("there is no alert policy `{name}`"),
        suggest::did_you_mean(name, known.policies.keys().map(Name::as_str)),
    );
    None
}

/// What all rules of an SLO share. Several policies must agree on it.
fn settings(findings: &Diagnostics<'_>, uses: &[Use]) -> Option<Alerting> {
    let Some((first, others)) = uses.split_first() else {
        return Some(Alerting::default());
    };
    let shared = |policy: &Policy| (policy.guard, policy.burn, policy.resolve_after);
    for other in others {
        if shared(&other.policy) != shared(&first.policy) {
            findings.error_with_help(
                other.place,
                format!(
                    "not yet supported: `{}` and `{}` differ in `guard`, `burn` or `resolveAfter`",
                    first.policy.name, other.policy.name
                ),
                "policies of one SLO must agree in these".to_owned(),
            );
            return None;
        }
    }
    Some(Alerting {
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
    promise: BudgetTerms,
) -> Option<(Vec<AlertRule>, Vec<LimitRule>)> {
    let (mut rules, mut limits) = (Vec::new(), Vec::new());
    let mut policy_of: BTreeMap<&Name, &Name> = BTreeMap::new();
    let mut is_valid = true;
    for used in uses {
        for rule in &used.policy.rules {
            if let Some(other) = policy_of.insert(&rule.name, &used.policy.name) {
                let message = format!(
                    "`{}` and `{other}` both have a rule named `{}`",
                    used.policy.name, rule.name
                );
                findings.error_with_help(used.place, message, "rename one of them".to_owned());
                is_valid = false;
                continue;
            }
            match fit(findings, used, rule, promise) {
                Fit::Burn(rule) => rules.push(rule),
                Fit::Limit(rule) => limits.push(rule),
                Fit::LeftOut => {}
                Fit::Refused => is_valid = false,
            }
        }
    }
    is_valid.then_some((rules, limits))
}

enum Fit {
    Burn(AlertRule),
    Limit(LimitRule),
    /// With a warning.
    LeftOut,
    /// With an error.
    Refused,
}

fn fit(findings: &Diagnostics<'_>, used: &Use, rule: &Rule, promise: BudgetTerms) -> Fit {
    let limit = match rule.asked {
        RuleTrigger::Burn(burn) => return fit_burn(findings, used, rule, (burn, promise)),
        RuleTrigger::Limit(limit) => limit,
    };
    if let Some((why, help)) = limit::never_reached(limit, promise) {
        let which = format!("rule `{}` of policy `{}`", rule.name, used.policy.name);
        return refuse(findings, used, &format!("{which} {why}"), help);
    }
    Fit::Limit(LimitRule {
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
    (burn, promise): (BurnTrigger, BudgetTerms),
) -> Fit {
    let which = format!("rule `{}` of policy `{}`", rule.name, used.policy.name);
    let window = format_duration(promise.window);
    if burn.long > promise.window {
        let long = format_duration(burn.long);
        return refuse(
            findings,
            used,
            &format!("{which} looks back {long}, but the window of the objective is only {window}"),
            "write a policy with shorter windows",
        );
    }
    let wanted = match burn.threshold {
        BurnThreshold::Factor(factor) => factor,
        BurnThreshold::Spend(share) => {
            share * promise.window.as_secs_f64() / burn.long.as_secs_f64()
        }
    };
    // In a short SLO window `spend` of a share of the budget may come out slower than spending it just
    // in time, and so as a rate that no promise is broken by.
    let factor = wanted.max(1.0);
    if wanted < 1.0 {
        findings.warn(
            used.place,
            format!("{which} would react at a burn rate of {wanted:.2}; it is raised to 1"),
            format!("1 spends the budget in exactly the window of {window}"),
        );
    }
    let most = promise.objective.max_burn_rate();
    // A hair above the highest is an artefact of division.
    if factor > most * (1.0 + 1e-9) {
        return refuse(
            findings,
            used,
            &format!(
                "{which} can never fire: it reacts at a burn rate of {}, but at {} nothing but bad \
                 events burns at {}",
                short(factor),
                promise.objective,
                short(most)
            ),
            "raise the objective, or write a policy with a lower `spend` or `factor`, or a longer `long`",
        );
    }
    Fit::Burn(AlertRule {
        name: rule.name.clone(),
        severity: rule.severity,
        factor,
        long: burn.long,
        short: burn.short,
        pending_for: rule.pending_for,
    })
}

/// A rule that a user wrote is an error, one that is built in gives way.
fn refuse(findings: &Diagnostics<'_>, used: &Use, message: &str, help: &str) -> Fit {
    match used.policy.origin {
        Origin::Written => {
            findings.error_with_help(used.place, message, help.to_owned());
            Fit::Refused
        }
        Origin::BuiltIn => {
            findings.warn(
                used.place,
                format!("{message}; the rule is left out"),
                help.to_owned(),
            );
            Fit::LeftOut
        }
    }
}

/// As many digits as help.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

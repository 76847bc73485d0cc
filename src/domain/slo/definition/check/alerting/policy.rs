//! Alert policies, before it is known which objective they serve.

use std::{collections::BTreeSet, time::Duration};

use super::limit;
use crate::domain::{
    model::ids::Name,
    slo::{
        Alerting, BurnKind, Guard, Limit, Severity,
        definition::{
            DefinitionFile,
            check::{
                document::{DocumentKind, Named, Sheet},
                values::{self, optional, required_ref},
            },
            diagnostics::{Diagnostics, SourceSpan},
            file::{BurnFile, BurnRateFile, PolicySpec, RuleFile},
        },
    },
};

/// A policy that serves any objective: factors may still depend on one.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) name: Name,
    pub(crate) origin: Origin,
    pub(crate) rules: Vec<Rule>,
    pub(crate) guard: Guard,
    pub(crate) burn: BurnKind,
    pub(crate) resolve_after: Duration,
}

/// What a user wrote is kept to the letter or refused; what is built in gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    BuiltIn,
    Written,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: Name,
    pub(crate) severity: Severity,
    pub(crate) pending_for: Duration,
    pub(crate) asked: RuleTrigger,
}

/// What a rule reacts at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RuleTrigger {
    Burn(BurnTrigger),
    Limit(Limit),
}

/// A burn rate in two windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BurnTrigger {
    pub(crate) threshold: BurnThreshold,
    pub(crate) long: Duration,
    pub(crate) short: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum BurnThreshold {
    /// The share of the budget that is spent within the long window.
    Spend(f64),
    /// A burn rate.
    Factor(f64),
}

/// The built-in policy. A test proves that it is there.
pub(crate) fn standard() -> Option<Policy> {
    let file = DefinitionFile {
        path: "standard.yaml".to_owned(),
        text: include_str!("../../standard.yaml").to_owned(),
    };
    let sheet = Sheet::open(&file);
    let named = sheet
        .named::<PolicySpec>(DocumentKind::AlertPolicy)
        .next()?;
    let policy = check(&named)?;
    Some(Policy {
        origin: Origin::BuiltIn,
        ..policy
    })
}

pub(crate) fn check(named: &Named<'_, PolicySpec>) -> Option<Policy> {
    let (spec, place) = named.spec.valid()?;
    policy(named.findings, named.name.clone(), spec, place)
}

pub(crate) fn policy(
    findings: &Diagnostics<'_>,
    name: Option<(Name, SourceSpan)>,
    spec: &PolicySpec,
    place: SourceSpan,
) -> Option<Policy> {
    let defaults = Alerting::default();
    let rules = rules(findings, spec, place);
    let guard = match &spec.guard {
        None => Some(defaults.guard),
        Some(field) => field
            .valid()
            .and_then(|(file, place)| required_ref(findings, &file.bad_events, place, "badEvents"))
            .map(|(bad_events, _)| Guard {
                bad_events: *bad_events,
            }),
    };
    let burn = match optional(spec.burn.as_ref()) {
        None => defaults.burn,
        Some((BurnFile::Budget, _)) => BurnKind::Budget,
        Some((BurnFile::Ratio, _)) => BurnKind::Ratio,
    };
    let resolve_after = match optional(spec.resolve_after.as_ref()) {
        None => Some(defaults.resolve_after),
        Some((text, place)) => values::duration(findings, &text.0, place),
    };
    Some(Policy {
        name: name?.0,
        origin: Origin::Written,
        rules: rules?,
        guard: guard?,
        burn,
        resolve_after: resolve_after?,
    })
}

fn rules(findings: &Diagnostics<'_>, spec: &PolicySpec, parent: SourceSpan) -> Option<Vec<Rule>> {
    let (fields, place) = required_ref(findings, &spec.rules, parent, "rules")?;
    if fields.is_empty() {
        findings.error(place, "a policy without rules never tells anybody");
        return None;
    }
    let mut names = BTreeSet::new();
    let rules: Vec<Option<Rule>> = fields
        .iter()
        .map(|field| {
            let (file, place) = field.valid()?;
            let (rule, name_place) = rule(findings, file, place)?;
            if names.insert(rule.name.clone()) {
                return Some(rule);
            }
            let message = format!("there are two rules named `{}`", rule.name);
            findings.error_with_help(name_place, message, "rename one of them".to_owned());
            None
        })
        .collect();
    rules.into_iter().collect()
}

fn rule(
    findings: &Diagnostics<'_>,
    file: &RuleFile,
    place: SourceSpan,
) -> Option<(Rule, SourceSpan)> {
    let name = values::name(findings, &file.name, place);
    let severity = required_ref(findings, &file.severity, place, "severity");
    let pending_for = match optional(file.pending_for.as_ref()) {
        None => Some(Duration::ZERO),
        Some((text, place)) => values::duration(findings, &text.0, place),
    };
    let asked = asked(findings, file, place);
    let (name, name_place) = name?;
    let rule = Rule {
        name,
        severity: *severity?.0,
        pending_for: pending_for?,
        asked: asked?,
    };
    Some((rule, name_place))
}

/// Exactly one thing.
fn asked(findings: &Diagnostics<'_>, file: &RuleFile, place: SourceSpan) -> Option<RuleTrigger> {
    let burn = file.burn_rate.as_ref().map(|field| {
        let (file, place) = field.valid()?;
        burn_rate(findings, file, place).map(RuleTrigger::Burn)
    });
    let limits = limit::limits(findings, file).into_iter();
    let mut all = burn
        .into_iter()
        .chain(limits.map(|limit| limit.map(RuleTrigger::Limit)));
    if let (Some(asked), None) = (all.next(), all.next()) {
        return asked;
    }
    findings.error_with_help(
        place,
        "a rule has exactly one of `burnRate`, `budgetSpent`, `exhaustion`, `customers` and `absence`",
        "`burnRate: { spend: 2%, long: 1h, short: 5m }` is the usual choice".to_owned(),
    );
    None
}

fn burn_rate(
    findings: &Diagnostics<'_>,
    file: &BurnRateFile,
    place: SourceSpan,
) -> Option<BurnTrigger> {
    let threshold = threshold(findings, file, place);
    let long = required_ref(findings, &file.long, place, "long")
        .and_then(|(text, place)| values::whole_minutes(findings, &text.0, place));
    let short = required_ref(findings, &file.short, place, "short").and_then(|(text, place)| {
        Some((
            values::whole_minutes(findings, &text.0, place)?,
            &text.0,
            place,
        ))
    });
    let (short, text, place) = short?;
    let long = long?;
    if short >= long {
        findings.error_with_help(
            place,
            format!("the short window, {text}, is not shorter than the long one"),
            "a twelfth of the long one is the usual choice: `long: 1h, short: 5m`".to_owned(),
        );
        return None;
    }
    Some(BurnTrigger {
        threshold: threshold?,
        long,
        short,
    })
}

fn threshold(
    findings: &Diagnostics<'_>,
    file: &BurnRateFile,
    place: SourceSpan,
) -> Option<BurnThreshold> {
    match (&file.spend, &file.factor) {
        (Some(field), None) => {
            let (scalar, place) = field.valid()?;
            Some(BurnThreshold::Spend(values::share(
                findings, scalar, place,
            )?))
        }
        (None, Some(field)) => {
            let (factor, place) = field.valid()?;
            if *factor < 1.0 {
                findings.error_with_help(
                    place,
                    format!("a burn rate of {factor} never spends the budget"),
                    "1 spends it in exactly the window: write 1 or more".to_owned(),
                );
                return None;
            }
            Some(BurnThreshold::Factor(*factor))
        }
        _ => {
            findings.error(place, "`burnRate` has exactly one of `spend` and `factor`");
            None
        }
    }
}

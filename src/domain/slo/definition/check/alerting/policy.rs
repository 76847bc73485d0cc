//! Alert policies, before they are applied to an objective.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use super::limit;
use crate::domain::{
    model::ids::Name,
    slo::{
        Alerting, BurnKind, Guard, Limit, Severity,
        definition::{
            DefinitionFile,
            check::{
                document::{DocumentKind, NamePlace, Sheet},
                values,
            },
            diagnostics::{Reported, SourceSpan},
            fields::Fields,
            value::{Checked, YamlValue},
        },
    },
};

/// A policy for any objective: factors may still depend on one.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) name: Name,
    pub(crate) origin: Origin,
    pub(crate) rules: Vec<Rule>,
    pub(crate) guard: Guard,
    pub(crate) burn: BurnKind,
    pub(crate) resolve_after: Duration,
}

/// The origin of a policy. A user's is applied exactly or rejected; the built-in one is adjusted.
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

/// The condition of a rule.
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

/// Returns the built-in policy. A test proves that it is valid.
pub(crate) fn standard() -> Option<Policy> {
    let file = DefinitionFile {
        path: "standard.yaml".to_owned(),
        text: include_str!("../../standard.yaml").to_owned(),
    };
    let sheet = Sheet::open(&file);
    let named = sheet.named(DocumentKind::AlertPolicy, &read).next()?;
    Some(Policy {
        origin: Origin::BuiltIn,
        ..named.spec.ok()?
    })
}

pub(crate) fn read(value: YamlValue<'_>, name: Option<&NamePlace>) -> Checked<Policy> {
    value.group("PolicySpec", "When an alert fires.", |fields| {
        let rules = fields.required("rules", "At least one.", rules);
        let about = "Floor against low traffic.";
        let guard = fields.optional("guard", about, |value| value.group("Guard", about, guard));
        let about = "Whether burn rates are weighted by traffic (`budget`) or not (`ratio`).";
        let burn = fields.or("burn", "budget", about, |value| {
            value.word(&[("budget", BurnKind::Budget), ("ratio", BurnKind::Ratio)])
        });
        let about = "How long all rules must be clear before the alert resolves.";
        let resolve_after = fields.or("resolveAfter", "5m", about, values::duration);
        Ok(Policy {
            name: name.ok_or(Reported)?.0.clone(),
            origin: Origin::Written,
            rules: rules?,
            guard: guard?.unwrap_or(Alerting::default().guard),
            burn: burn?,
            resolve_after: resolve_after?,
        })
    })
}

fn guard(fields: &Fields<'_>) -> Checked<Guard> {
    let about =
        "Burn rates need at least so many bad events in the long window. 5 without a guard.";
    fields.required("badEvents", about, |value| {
        let bad_events = value.whole()?;
        Ok(Guard { bad_events })
    })
}

fn rules(value: YamlValue<'_>) -> Checked<Vec<Rule>> {
    let names = RefCell::new(BTreeSet::new());
    let rules = value.list(|value| {
        let about = "A rule; its alert has the severity of the rule.";
        let (rule, place) = value.group("Rule", about, rule)?;
        if names.borrow_mut().insert(rule.name.clone()) {
            return Ok(rule);
        }
        let message = format!("there are two rules named `{}`", rule.name);
        let help = "rename one of them".to_owned();
        Err(value.findings.error_with_help(place, message, help))
    })?;
    if rules.is_empty() {
        return Err(value.error("a policy without rules never fires"));
    }
    Ok(rules)
}

fn rule(fields: &Fields<'_>) -> Checked<(Rule, SourceSpan)> {
    let name = fields.required("name", "Unique within the policy.", values::name);
    let severity = fields.required("severity", "How urgent it is.", |value| {
        value.word(&[("ticket", Severity::Ticket), ("page", Severity::Page)])
    });
    let about = "How long the condition must hold before the alert fires, such as 5m. Time without data or \
                 without evaluation does not count.";
    let pending_for = fields.optional("for", about, values::duration);
    let asked = fields.one_of(
        "a rule",
        Some("`burnRate: { spend: 2%, long: 1h, short: 5m }` is the usual choice"),
        &[
            (
                "burnRate",
                "Fires if the burn rate reaches the threshold in both windows.",
                &|value| burn_rate(value).map(RuleTrigger::Burn),
            ),
            (
                "budgetSpent",
                "Fires if more than this share of the budget is spent.",
                &|value| limit::budget_spent(value).map(RuleTrigger::Limit),
            ),
            (
                "exhaustion",
                "Fires if the budget will soon be spent.",
                &|value| limit::exhaustion(value).map(RuleTrigger::Limit),
            ),
            (
                "customers",
                "Fires if so many customers had a bad event.",
                &|value| limit::customers(value).map(RuleTrigger::Limit),
            ),
            (
                "absence",
                "Fires if there are no events, although there were some a week ago.",
                &|value| limit::absence(value).map(RuleTrigger::Limit),
            ),
            (
                "atRisk",
                "Fires if so many workflows in flight are close to their deadline.",
                &|value| limit::at_risk(value).map(RuleTrigger::Limit),
            ),
        ],
    );
    let rule = Rule {
        name: name?,
        severity: severity?,
        pending_for: pending_for?.unwrap_or_default(),
        asked: asked?,
    };
    Ok((rule, fields.at("name")))
}

fn burn_rate(value: YamlValue<'_>) -> Checked<BurnTrigger> {
    let about = "A burn rate in two windows.";
    value.group("BurnRate", about, |fields| {
        let threshold = fields.one_of(
            "`burnRate`",
            None,
            &[
                (
                    "spend",
                    "Share of the budget that is spent within the long window, such as 2%.",
                    &|value| values::share(value).map(BurnThreshold::Spend),
                ),
                ("factor", "Burn rate, at least 1.", &factor),
            ],
        );
        let about = "Long window, in whole minutes: the burn matters.";
        let long = fields.required("long", about, values::whole_minutes);
        let about = "Short window, in whole minutes: it shows that the problem continues.";
        let short = fields.required("short", about, values::whole_minutes);
        let (long, short) = (long?, short?);
        if short >= long {
            return Err(fields.error_with_help(
                "short",
                format!(
                    "the short window, {}, is not shorter than the long one",
                    fields.written("short")
                ),
                "a twelfth of the long one is the usual choice: `long: 1h, short: 5m`",
            ));
        }
        Ok(BurnTrigger {
            threshold: threshold?,
            long,
            short,
        })
    })
}

fn factor(value: YamlValue<'_>) -> Checked<BurnThreshold> {
    let factor = value.number()?;
    if factor < 1.0 {
        return Err(value.error_with_help(
            format!("a burn rate of {factor} never spends the budget"),
            "1 spends it in exactly the window: write 1 or more".to_owned(),
        ));
    }
    Ok(BurnThreshold::Factor(factor))
}

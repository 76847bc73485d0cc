//! Reads threshold rules, and rejects limits that cannot be reached.

use std::time::Duration;

use super::BudgetTerms;
use crate::domain::slo::{
    Limit, TIME_LIMIT_STEPS,
    definition::{
        check::values,
        shape::Shape,
        value::{Checked, YamlValue},
    },
    duration::format_duration,
};

/// Customers of longer ranges are only known by whole days.
const MOST_OF_CUSTOMERS: Duration = Duration::from_hours(24);
/// The usual traffic is that of a week ago.
const MOST_OF_ABSENCE: Duration = Duration::from_hours(7 * 24);
/// A quarter of it is the smallest unit of counts, a minute.
const LEAST_OF_EXHAUSTION: Duration = Duration::from_mins(4);

pub(crate) fn budget_spent(value: YamlValue<'_>) -> Checked<Limit> {
    let about = "A share of the error budget.";
    value.group("BudgetSpent", about, |fields| {
        let over = fields.required("over", "Share that is spent, such as 90%.", values::share)?;
        Ok(Limit::BudgetSpent { over })
    })
}

pub(crate) fn exhaustion(value: YamlValue<'_>) -> Checked<Limit> {
    let about = "When the error budget will be spent.";
    value.group("Exhaustion", about, |fields| {
        let about = "At the rate of the last quarter of this time, such as 4h.";
        let within = fields.required("within", about, values::whole_minutes)?;
        if within >= LEAST_OF_EXHAUSTION {
            return Ok(Limit::Exhaustion { within });
        }
        Err(fields.error_with_help(
            "within",
            format!(
                "`{}` is too short to measure a rate: it is taken from the last quarter of it",
                fields.written("within")
            ),
            "write `4m` or more; `4h` is a usual choice",
        ))
    })
}

pub(crate) fn customers(value: YamlValue<'_>) -> Checked<Limit> {
    let about = "How many customers had a bad event.";
    value.group("Customers", about, |fields| {
        let affected = fields.required("affected", "How many are too many.", too_many);
        let length = fields.required("in", "In the last of this time, at most 1d.", |value| {
            at_most(value, MOST_OF_CUSTOMERS)
        });
        Ok(Limit::Customers {
            affected: affected?,
            length: length?,
        })
    })
}

/// Reads the maximum number of customers or workflows.
fn too_many(value: YamlValue<'_>) -> Checked<u32> {
    let written = value.whole()?;
    let some = u32::try_from(written).ok().filter(|most| *most > 0);
    some.ok_or_else(|| {
        value.error_with_help(
            format!("a limit of {written} is always reached or never"),
            "write how many are too many: 1 or more".to_owned(),
        )
    })
}

pub(crate) fn at_risk(value: YamlValue<'_>) -> Checked<Limit> {
    let about = "Workflows in flight that are close to their deadline.";
    value.group("AtRisk", about, |fields| {
        let about = "Share of the time limit (`within`) that has passed since they started, such as 80%, in steps of 5%.";
        let used = fields.required("used", about, time_limit_step);
        let workflows = fields.required("workflows", "How many are too many.", too_many);
        Ok(Limit::AtRisk {
            used: used?,
            workflows: workflows?,
        })
    })
}

fn time_limit_step(value: YamlValue<'_>) -> Checked<f64> {
    let used = values::share(value)?;
    let steps = used * f64::from(TIME_LIMIT_STEPS);
    if used < 1.0 && (steps - steps.round()).abs() < 1e-9 {
        return Ok(used);
    }
    let nearest = steps.round().clamp(1.0, f64::from(TIME_LIMIT_STEPS - 1)) * 5.0;
    let written = value.scalar(Shape::Scalar)?;
    Err(value.error_with_help(
        format!("`{written}` is not a multiple of 5 % below 100 %"),
        format!("write `{nearest:.0}%`"),
    ))
}

pub(crate) fn absence(value: YamlValue<'_>) -> Checked<Limit> {
    let about = "No events at a time that had some a week ago.";
    value.group("Absence", about, |fields| {
        let about = "Longer than the usual gaps between events, such as 15m; at most 1w.";
        let length = fields.required("for", about, |value| at_most(value, MOST_OF_ABSENCE))?;
        Ok(Limit::Absence { length })
    })
}

fn at_most(value: YamlValue<'_>, most: Duration) -> Checked<Duration> {
    let text = value.scalar(Shape::Duration)?;
    let length = values::whole_minutes(value)?;
    if length <= most {
        return Ok(length);
    }
    let most = format_duration(most);
    Err(value.error_with_help(
        format!("`{text}` is too long: at most {most} can be looked back"),
        format!("write `{most}` or less"),
    ))
}

/// Returns why `limit` can never be reached under `terms`, and what to write instead.
pub(crate) fn never_reached(limit: Limit, terms: BudgetTerms) -> Option<(String, &'static str)> {
    match limit {
        Limit::Exhaustion { within } if within >= terms.window => Some((
            format!(
                "looks {} ahead, but the window of the objective is only {}: by then all that was spent \
                 has aged out",
                format_duration(within),
                format_duration(terms.window)
            ),
            "write a policy with a shorter `within`",
        )),
        Limit::Customers { .. } if !terms.names_customers => Some((
            "can never fire: the SLO does not say which attribute names the customer".to_owned(),
            "add `customer: span.customer.id`, with your attribute, to the SLO",
        )),
        Limit::AtRisk { .. } if !terms.has_deadline => Some((
            "can never fire: spans have no deadline, only workflows have".to_owned(),
            "write the rule in the policy of an SLO with `within`",
        )),
        Limit::Exhaustion { .. }
        | Limit::Customers { .. }
        | Limit::BudgetSpent { .. }
        | Limit::Absence { .. }
        | Limit::AtRisk { .. }
        | Limit::NeverEnded
        | Limit::Unusable { .. }
        | Limit::Uncorrelated { .. } => None,
    }
}

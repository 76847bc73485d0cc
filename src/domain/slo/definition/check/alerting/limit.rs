//! Rules on anything but burn rates, and limits that nothing can reach.

use std::time::Duration;

use super::apply::BudgetTerms;
use crate::domain::slo::{
    Limit,
    definition::{
        check::values::{self, required_ref},
        diagnostics::{Diagnostics, SourceSpan},
        file::RuleFile,
        limit_file::{AbsenceFile, BudgetSpentFile, CustomersFile, ExhaustionFile},
    },
    duration::format_duration,
};

/// Customers of a longer stretch are only known by whole days.
const MOST_OF_CUSTOMERS: Duration = Duration::from_hours(24);
/// What is usual is known from a week ago.
const MOST_OF_ABSENCE: Duration = Duration::from_hours(7 * 24);
/// Its quarter is the least that events are counted in.
const LEAST_OF_EXHAUSTION: Duration = Duration::from_mins(4);

/// The limits that a rule sets: exactly one, unless it is on a burn rate.
pub(crate) fn limits(findings: &Diagnostics<'_>, file: &RuleFile) -> Vec<Option<Limit>> {
    let budget_spent = file.budget_spent.as_ref().map(|field| {
        let (file, place) = field.valid()?;
        budget_spent(findings, file, place)
    });
    let exhaustion = file.exhaustion.as_ref().map(|field| {
        let (file, place) = field.valid()?;
        exhaustion(findings, file, place)
    });
    let customers = file.customers.as_ref().map(|field| {
        let (file, place) = field.valid()?;
        customers(findings, file, place)
    });
    let absence = file.absence.as_ref().map(|field| {
        let (file, place) = field.valid()?;
        absence(findings, file, place)
    });
    let all = [budget_spent, exhaustion, customers, absence];
    all.into_iter().flatten().collect()
}

fn budget_spent(
    findings: &Diagnostics<'_>,
    file: &BudgetSpentFile,
    place: SourceSpan,
) -> Option<Limit> {
    let (share, place) = required_ref(findings, &file.over, place, "over")?;
    let over = values::share(findings, share, place)?;
    Some(Limit::BudgetSpent { over })
}

fn exhaustion(
    findings: &Diagnostics<'_>,
    file: &ExhaustionFile,
    place: SourceSpan,
) -> Option<Limit> {
    let (text, place) = required_ref(findings, &file.within, place, "within")?;
    let within = values::whole_minutes(findings, &text.0, place)?;
    if within >= LEAST_OF_EXHAUSTION {
        return Some(Limit::Exhaustion { within });
    }
    findings.error_with_help(
        place,
        format!(
            "`{}` leaves no time to see a pace: it is taken from the last quarter of it",
            text.0
        ),
        "write `4m` or more; `4h` is a usual choice".to_owned(),
    );
    None
}

fn customers(findings: &Diagnostics<'_>, file: &CustomersFile, place: SourceSpan) -> Option<Limit> {
    let affected = required_ref(findings, &file.affected, place, "affected");
    let length = required_ref(findings, &file.length, place, "in")
        .and_then(|(text, place)| at_most(findings, (&text.0, place), MOST_OF_CUSTOMERS));
    let (affected, place) = affected?;
    let Some(affected) = u32::try_from(*affected).ok().filter(|most| *most > 0) else {
        findings.error_with_help(
            place,
            format!("a limit of {affected} customers is always reached or never"),
            "write how many are too many: 1 or more".to_owned(),
        );
        return None;
    };
    Some(Limit::Customers {
        affected,
        length: length?,
    })
}

fn absence(findings: &Diagnostics<'_>, file: &AbsenceFile, place: SourceSpan) -> Option<Limit> {
    let (text, place) = required_ref(findings, &file.length, place, "for")?;
    let length = at_most(findings, (&text.0, place), MOST_OF_ABSENCE)?;
    Some(Limit::Absence { length })
}

fn at_most(findings: &Diagnostics<'_>, of: (&str, SourceSpan), most: Duration) -> Option<Duration> {
    let (text, place) = of;
    let length = values::whole_minutes(findings, text, place)?;
    if length <= most {
        return Some(length);
    }
    let most = format_duration(most);
    findings.error_with_help(
        place,
        format!("`{text}` is too long to be told: at most {most} can be looked back"),
        format!("write `{most}` or less"),
    );
    None
}

/// Why `limit` can never be reached under `promise`, and what to write instead.
pub(crate) fn never_reached(limit: Limit, promise: BudgetTerms) -> Option<(String, &'static str)> {
    match limit {
        Limit::Exhaustion { within } if within >= promise.window => Some((
            format!(
                "looks {} ahead, but the window of the objective is only {}: by then all that was spent \
                 has aged out",
                format_duration(within),
                format_duration(promise.window)
            ),
            "write a policy with a shorter `within`",
        )),
        Limit::Customers { .. } if !promise.names_customers => Some((
            "can never fire: the SLO does not say which attribute names the customer".to_owned(),
            "add `customer: span.customer.id`, with your attribute, to the SLO",
        )),
        Limit::Exhaustion { .. }
        | Limit::Customers { .. }
        | Limit::BudgetSpent { .. }
        | Limit::Absence { .. }
        | Limit::NeverEnded
        | Limit::Unusable { .. } => None,
    }
}

//! One SLO, and the exclusions beside it.

mod correlate;
pub(super) mod exclusion;
mod fan_out;
mod group_by;
mod indicator;
mod stages;
mod weighing;
mod window;

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        diagnostics::{Diagnostics, SourceSpan},
        file::{CustomerDetailsFile, Metadata, NotifyFile, SloSpec},
        read::{Field, Scalar},
        suggest,
    },
    References,
    alerting::apply::{self, BudgetTerms},
    document::Named,
    selector,
    values::{self, optional, required_ref},
};
use crate::domain::{
    model::{ids::Name, objective::Objective, span::AttributeName, window::SloWindow},
    slo::{CustomerDetails, Notify, Slo, Source, duration::format_duration},
};

pub(crate) fn check(named: &Named<'_, SloSpec>, known: &References) -> Option<Slo> {
    let findings = named.findings;
    let (spec, place) = named.spec.valid()?;
    let objective = objective(findings, &spec.objective, place);
    let window = window::check(findings, &spec.window, place);
    let length = window.map(SloWindow::length);
    let indicator = required_ref(findings, &spec.indicator, place, "indicator")
        .and_then(|(file, place)| indicator::check(findings, file, place, length));
    let customer = customer(findings, spec.customer.as_ref());
    let customer_details = customer_details(findings, spec);
    let group_by = group_by::check(findings, spec);
    let grace = grace(findings, spec.grace.as_ref(), length);
    let clock_skew = clock_skew(findings, spec.clock_skew.as_ref());
    let weighing = weighing::check(findings, spec);
    let promise = BudgetTerms::of(objective, length, spec);
    let alerting = apply::check(findings, spec.alert_policies.as_ref(), promise, known);
    let notify = notify(findings, spec, named.name.as_ref(), known);
    let runbook = match optional(spec.runbook.as_ref()) {
        None => Some(None),
        Some((text, place)) => values::web_address(findings, text, place).map(Some),
    };
    let (name, _) = named.name.clone()?;
    let metadata = named.metadata.as_ref()?;
    let display_name = optional(metadata.display_name.as_ref())
        .map_or_else(|| name.to_string(), |(text, _)| text.clone());
    let slo = Slo::new(name, objective?, window?, indicator?);
    Some(Slo {
        display_name,
        labels: labels(metadata),
        description: text(spec.description.as_ref()),
        service: text(spec.service.as_ref()),
        customer: customer?,
        customer_details: customer_details?,
        group_by: group_by?,
        grace: grace?,
        clock_skew: clock_skew?.unwrap_or(slo.clock_skew),
        weighing: weighing?,
        alerting: alerting?,
        notify: notify?,
        runbook: runbook?,
        source: source(named),
        ..slo
    })
}

fn text(field: Option<&Field<String>>) -> Option<String> {
    optional(field).map(|(text, _)| text.clone())
}

fn labels(metadata: &Metadata) -> BTreeMap<String, String> {
    metadata
        .labels
        .iter()
        .flatten()
        .filter_map(|(key, field)| Some((key.clone(), field.valid()?.0.0.clone())))
        .collect()
}

fn source(named: &Named<'_, SloSpec>) -> Source {
    let document = named.findings.text().get(named.range.clone());
    let document = document.unwrap_or_default();
    // Comments and blank lines above belong to the document; the marker does not.
    let body = document.strip_prefix("---").unwrap_or(document);
    let body = body.trim_start_matches(['\r', '\n']);
    let start = named.range.end - body.len();
    Source {
        file: named.findings.path().to_owned(),
        line: named.findings.line_of(start),
        text: body.trim_end().to_owned(),
    }
}

fn objective(
    findings: &Diagnostics<'_>,
    field: &Field<Scalar>,
    parent: SourceSpan,
) -> Option<Objective> {
    let (scalar, place) = required_ref(findings, field, parent, "objective")?;
    match scalar.0.parse() {
        Ok(objective) => Some(objective),
        Err(error) => {
            findings.error(place, format!("{error}"));
            None
        }
    }
}

/// The outer `None` is a mistake.
#[expect(
    clippy::option_option,
    reason = "left out and wrong are different, and neither has a value"
)]
fn customer(
    findings: &Diagnostics<'_>,
    field: Option<&Field<String>>,
) -> Option<Option<AttributeName>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (text, place) = field.valid()?;
    selector::attribute(findings, text, place).map(Some)
}

fn customer_details(findings: &Diagnostics<'_>, spec: &SloSpec) -> Option<CustomerDetails> {
    let Some(field) = &spec.customer_details else {
        return Some(CustomerDetails::default());
    };
    let (told, place) = field.valid()?;
    if spec.customer.is_none() {
        findings.error_with_help(
            place,
            "`customerDetails` is set, but no `customer` is named".to_owned(),
            "name the attribute: `customer: span.customer.id`".to_owned(),
        );
        return None;
    }
    Some(match told {
        CustomerDetailsFile::None => CustomerDetails::None,
        CustomerDetailsFile::Counts => CustomerDetails::Counts,
        CustomerDetailsFile::Hashed => CustomerDetails::Hashed,
        CustomerDetailsFile::Names => CustomerDetails::Names,
    })
}

fn grace(
    findings: &Diagnostics<'_>,
    field: Option<&Field<Scalar>>,
    window: Option<Duration>,
) -> Option<Duration> {
    let Some(field) = field else {
        return Some(Slo::DEFAULT_GRACE);
    };
    let (Scalar(text), place) = field.valid()?;
    let grace = values::duration(findings, text, place)?;
    if window.is_some_and(|window| grace >= window) {
        let window = format_duration(window.unwrap_or_default());
        findings.error(
            place,
            format!("`grace` is {text}, but the window of the objective is only {window}"),
        );
        return None;
    }
    Some(grace)
}

/// The inner `None` is a field left out.
#[expect(
    clippy::option_option,
    reason = "a mistake is not the same as a field left out"
)]
fn clock_skew(
    findings: &Diagnostics<'_>,
    field: Option<&Field<Scalar>>,
) -> Option<Option<Duration>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (Scalar(text), place) = field.valid()?;
    values::duration(findings, text, place).map(Some)
}

fn notify(
    findings: &Diagnostics<'_>,
    spec: &SloSpec,
    name: Option<&(Name, SourceSpan)>,
    known: &References,
) -> Option<Notify> {
    let Some(field) = &spec.notify else {
        if let Some((name, place)) = name {
            findings.warn(
                *place,
                format!("nobody is told about `{name}`"),
                "name targets: `notify: { page: [...], ticket: [...] }`".to_owned(),
            );
        }
        return Some(Notify::default());
    };
    let (file, place) = field.valid()?;
    let NotifyFile { page, ticket } = file;
    let page = targets(findings, page.as_ref(), known);
    let ticket = targets(findings, ticket.as_ref(), known);
    let notify = Notify {
        page: page?,
        ticket: ticket?,
    };
    if notify.page.is_empty() && notify.ticket.is_empty() {
        findings.warn(place, "nobody is told: no target is named", None);
    }
    Some(notify)
}

fn targets(
    findings: &Diagnostics<'_>,
    field: Option<&Field<Vec<Field<String>>>>,
    known: &References,
) -> Option<Vec<Name>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let (fields, _) = field.valid()?;
    let names: Vec<Option<Name>> = fields
        .iter()
        .map(|field| {
            let (text, place) = field.valid()?;
            target(findings, text, place, known)
        })
        .collect();
    names.into_iter().collect()
}

fn target(
    findings: &Diagnostics<'_>,
    text: &str,
    place: SourceSpan,
    known: &References,
) -> Option<Name> {
    let found = known.targets.iter().find(|name| name.as_str() == text);
    if found.is_none() {
        let names = known.targets.iter().map(Name::as_str);
        let help = suggest::did_you_mean(text, names)
            .unwrap_or_else(|| "declare it: `kind: AlertNotificationTarget`".to_owned());
        findings.error_with_help(place, format!("there is no target `{text}`"), help);
    }
    found.cloned()
}

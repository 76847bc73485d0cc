//! Reads one SLO, and exclusions.

mod correlate;
pub(super) mod exclusion;
mod fan_out;
mod group_by;
mod indicator;
mod stages;
mod weighing;

use std::time::Duration;

use super::{
    super::{
        diagnostics::Reported,
        fields::Fields,
        shape::Shape,
        value::{Checked, YamlValue},
    },
    References,
    alerting::{BudgetTerms, apply},
    document::{NamePlace, Named},
    selector, values,
};
use crate::domain::{
    model::{
        objective::Objective,
        sampling::{Threshold, UnknownWeight, Weighing},
        window::{Calendar, CalendarUnit, SloWindow},
    },
    slo::{Alerting, CustomerDetails, Indicator, Notify, Slo, Source, duration::format_duration},
};

/// Reads the `spec` of an SLO; the other keys are read by [`complete`].
pub(crate) fn read(
    value: YamlValue<'_>,
    name: Option<&NamePlace>,
    known: &References,
) -> Checked<Slo> {
    value.group(
        "SloSpec",
        "What is measured, the objective, and who is notified.",
        |fields| spec(fields, name, known),
    )
}

fn spec(fields: &Fields<'_>, name: Option<&NamePlace>, known: &References) -> Checked<Slo> {
    let description = fields.optional("description", "What the SLO measures.", values::text);
    let about = "Service or product area that the SLO belongs to.";
    let service = fields.optional("service", about, values::text);
    let about = "Share of events that must be good, such as 99.5% or 0.995.";
    let objective = fields.required("objective", about, objective);
    let about = "Length of the rolling window, such as 30d, or a calendar period.";
    let window = fields.required("window", about, window);
    let length = window.map(SloWindow::length);
    let indicator = fields.required("indicator", "What a good event is.", |value| {
        indicator::read(value, length.ok())
    });
    let about = "Attribute with the customer that an event belongs to, such as span.customer.id.";
    let customer = fields.optional("customer", about, selector::attribute);
    let customer_details = customer_details(fields);
    let group_by = group_by::read(fields);
    let grace = grace(fields, length);
    let clock_skew = clock_skew(fields);
    let unknown = unknown_weight(fields);
    let measured = indicator.as_ref().ok().map(|(indicator, _)| indicator);
    let terms = BudgetTerms::of(fields, objective, length, measured);
    let alerting = apply::read(fields, terms, known);
    let notify = notify(fields, name, known);
    let about = "Address of the instructions for who receives an alert.";
    let runbook = fields.optional("runbook", about, values::web_address);
    let (indicator, weighing) = indicator?;
    let (name, _) = name.ok_or(Reported)?;
    let slo = Slo::new(name.clone(), objective?, window?, indicator);
    let alerting = alerting?;
    if let (Indicator::Workflow(_), Ok(grace)) = (&slo.indicator, grace) {
        warn_of_long_grace(fields, grace, &alerting);
    }
    Ok(Slo {
        description: description?,
        service: service?,
        customer: customer?,
        customer_details: customer_details?,
        group_by: group_by?,
        grace: grace?,
        clock_skew: clock_skew?.unwrap_or(slo.clock_skew),
        weighing: Weighing {
            unknown: unknown?,
            ..weighing
        },
        alerting,
        notify: notify?,
        runbook: runbook?,
        ..slo
    })
}

/// Warns of a long grace: a timeout is counted only after `grace`, when most of a short window has
/// passed.
fn warn_of_long_grace(fields: &Fields<'_>, grace: Duration, alerting: &Alerting) {
    let shortest = alerting.rules.iter().map(|rule| rule.short).min();
    let Some(shortest) = shortest.filter(|short| grace * 2 > *short) else {
        return;
    };
    let place = if fields.has("grace") {
        "grace"
    } else {
        "window"
    };
    let (written, short) = (format_duration(grace), format_duration(shortest));
    let enough = format_duration(grace * 2);
    fields.findings.warn(
        fields.at(place),
        format!(
            "`grace` is {written}, more than half of {short}, the shortest window of its alert rules: most \
             timeouts are counted when that window has passed"
        ),
        format!("shorten `grace`, or write a policy whose `short` is at least {enough}"),
    );
}

/// Adds the keys outside of its `spec` to an SLO.
pub(crate) fn complete(named: Named<'_, Slo>) -> Option<Slo> {
    let source = source(&named);
    let slo = named.spec.ok()?;
    let display_name = named.metadata.display_name.ok()?;
    Some(Slo {
        display_name: display_name.unwrap_or_else(|| slo.name.to_string()),
        labels: named.metadata.labels.ok()?,
        annotations: named.metadata.annotations.ok()?,
        source,
        ..slo
    })
}

fn source<S>(named: &Named<'_, S>) -> Source {
    let document = named.findings.text().get(named.range.clone());
    let document = document.unwrap_or_default();
    // Comments and blank lines at the beginning belong to the document; the marker does not.
    let body = document.strip_prefix("---").unwrap_or(document);
    let body = body.trim_start_matches(['\r', '\n']);
    let start = named.range.end - body.len();
    Source {
        file: named.findings.path().to_owned(),
        line: named.findings.line_of(start),
        text: body.trim_end().to_owned(),
    }
}

fn objective(value: YamlValue<'_>) -> Checked<Objective> {
    let text = value.scalar(Shape::Scalar)?;
    text.parse()
        .map_err(|error| value.error(format!("{error}")))
}

fn window(value: YamlValue<'_>) -> Checked<SloWindow> {
    value.text_or_group(
        |text| values::whole_minutes(text).map(SloWindow::Rolling),
        |group| {
            let about = "A window that starts again with each period of the calendar.";
            group.group("CalendarWindow", about, |fields| {
                let unit = fields.required("calendar", "Weeks begin on Monday.", |value| {
                    value.word(&[
                        ("day", CalendarUnit::Day),
                        ("week", CalendarUnit::Week),
                        ("month", CalendarUnit::Month),
                        ("quarter", CalendarUnit::Quarter),
                        ("year", CalendarUnit::Year),
                    ])
                });
                let zone = fields.or(
                    "timeZone",
                    "UTC",
                    "Time zone of the calendar, such as Europe/London.",
                    values::time_zone,
                );
                Ok(SloWindow::Calendar(Calendar {
                    unit: unit?,
                    zone: zone?,
                }))
            })
        },
    )
}

fn customer_details(fields: &Fields<'_>) -> Checked<CustomerDetails> {
    let about = "What messages contain about affected customers: `none`, `counts`, `hashed` (stable \
                 pseudonyms) or `names`. Pages name them to roles that may see them.";
    let details = fields.or("customerDetails", "counts", about, |value| {
        value.word(&[
            ("none", CustomerDetails::None),
            ("counts", CustomerDetails::Counts),
            ("hashed", CustomerDetails::Hashed),
            ("names", CustomerDetails::Names),
        ])
    })?;
    if fields.has("customerDetails") && !fields.has("customer") {
        return Err(fields.error_with_help(
            "customerDetails",
            "`customerDetails` is set, but no `customer` is named",
            "name the attribute: `customer: span.customer.id`",
        ));
    }
    Ok(details)
}

fn grace(fields: &Fields<'_>, window: Checked<Duration>) -> Checked<Duration> {
    let about = "How long after a deadline spans may still arrive.";
    let grace = fields.or("grace", "2m", about, values::duration)?;
    match window {
        Ok(window) if grace >= window => Err(fields.error(
            "grace",
            format!(
                "`grace` is {}, but the window of the objective is only {}",
                fields.written("grace"),
                format_duration(window)
            ),
        )),
        _ => Ok(grace),
    }
}

fn clock_skew(fields: &Fields<'_>) -> Checked<Option<Duration>> {
    let about = "How far clocks of hosts may differ: an end that is before its start by at most this took no \
                 time. Defaults to a tenth of `within`, between 1s and 1m.";
    fields.optional("clockSkew", about, values::duration)
}

fn unknown_weight(fields: &Fields<'_>) -> Checked<UnknownWeight> {
    let about = "Weight of spans that do not say how likely they were kept: `one`, `reject` (they are not \
                 used), or a number.";
    fields.or("unknownWeight", "one", about, weight)
}

fn weight(value: YamlValue<'_>) -> Checked<UnknownWeight> {
    let text = value.scalar(Shape::Scalar)?;
    let weight = match text {
        "one" => Some(UnknownWeight::One),
        "reject" => Some(UnknownWeight::Reject),
        number => number
            .parse()
            .ok()
            .and_then(Threshold::of_count)
            .map(UnknownWeight::Fixed),
    };
    weight.ok_or_else(|| {
        value.error_with_help(
            format!("`{text}` is no weight"),
            "write `one`, `reject`, or the number of spans that one represents, at least 1"
                .to_owned(),
        )
    })
}

fn notify(fields: &Fields<'_>, name: Option<&NamePlace>, known: &References) -> Checked<Notify> {
    let target = |value: YamlValue<'_>| {
        values::reference(
            value,
            "target",
            known.targets.iter(),
            "AlertNotificationTarget",
        )
    };
    let about = "Names of targets, by severity.";
    let notify = fields.optional("notify", about, |value| {
        value.group("Notify", about, |fields| {
            let page = fields.optional("page", "Targets of pages.", |value| value.list(target));
            let ticket =
                fields.optional("ticket", "Targets of tickets.", |value| value.list(target));
            Ok(Notify {
                page: page?.unwrap_or_default(),
                ticket: ticket?.unwrap_or_default(),
            })
        })
    })?;
    match (&notify, name) {
        (Some(notify), _) if notify.page.is_empty() && notify.ticket.is_empty() => {
            let message = "no target is notified: none is named";
            fields.findings.warn(fields.at("notify"), message, None);
        }
        (None, Some((name, place))) => fields.findings.warn(
            *place,
            format!("no target is notified about `{name}`"),
            "name targets: `notify: { page: [...], ticket: [...] }`".to_owned(),
        ),
        _ => {}
    }
    Ok(notify.unwrap_or_default())
}

//! Reads exclusions: planned work that does not spend budget.

use std::{collections::BTreeSet, time::Duration};

use crate::domain::{
    model::{
        ids::Name,
        recurrence::{Recurrence, RecurrenceLimit},
        time::{Resolution, TimeRange, Timestamp},
    },
    slo::{
        definition::{
            check::{document::NamePlace, values},
            diagnostics::Reported,
            fields::Fields,
            shape::Shape,
            suggest,
            value::{Checked, YamlValue},
        },
        exclusion::{Exclusion, ExclusionScope},
    },
};

/// The time for which a rule without an end is expanded.
const AHEAD: Duration = Duration::from_hours(20 * 365 * 24);
/// The limit of occurrences of one exclusion: daily for 27 years.
const MOST: u16 = 10_000;

pub(crate) fn read(
    value: YamlValue<'_>,
    name: Option<&NamePlace>,
    slos: &BTreeSet<Name>,
) -> Checked<Exclusion> {
    let about = "Planned work whose events are left out of all numbers.";
    value.group("ExclusionSpec", about, |fields| spec(fields, name, slos))
}

fn spec(
    fields: &Fields<'_>,
    name: Option<&NamePlace>,
    slos: &BTreeSet<Name>,
) -> Checked<Exclusion> {
    let about = "Names of SLOs. All SLOs if left out.";
    let scope = fields.optional("slos", about, |value| scope(value, slos));
    let about = "Start of the first occurrence, such as 2026-12-06T02:00:00Z.";
    let from = fields.required("from", about, instant);
    let about = "Length of each occurrence, in whole minutes.";
    let length = fields.required("for", about, values::whole_minutes);
    let about = "When it occurs again, as an iCalendar rule: FREQ=WEEKLY;COUNT=10.";
    let repeat = fields.optional("repeat", about, values::text);
    let about = "Time zone of the rule, such as Europe/London.";
    let zone = fields.or("timeZone", "UTC", about, values::time_zone);
    let reason = fields.required("reason", "Why, for readers of the numbers.", reason);
    let from = from?;
    let starts = match repeat? {
        None => Ok(vec![from]),
        Some(rule) => {
            let recurrence = Recurrence {
                rule: &rule,
                from,
                zone: zone?,
            };
            occurrences(fields, recurrence)
        }
    };
    let length = length?;
    let range = |from: Timestamp| TimeRange::new(from, from + length);
    Ok(Exclusion {
        name: name.ok_or(Reported)?.0.clone(),
        scope: scope?.unwrap_or(ExclusionScope::All),
        reason: reason?,
        ranges: starts?.into_iter().map(range).collect(),
    })
}

fn scope(value: YamlValue<'_>, slos: &BTreeSet<Name>) -> Checked<ExclusionScope> {
    let names = value.list(|value| {
        let text = value.text_as(Shape::Name)?;
        let found = slos.iter().find(|name| name.as_str() == text);
        found.cloned().ok_or_else(|| {
            let help = suggest::did_you_mean(text, slos.iter().map(Name::as_str));
            value.error_with_help(format!("there is no SLO `{text}`"), help)
        })
    })?;
    if names.is_empty() {
        let help = "name them, or leave `slos` out for all".to_owned();
        return Err(value.error_with_help("`slos` is empty: nothing would be excluded", help));
    }
    Ok(ExclusionScope::Only(names.into_iter().collect()))
}

fn instant(value: YamlValue<'_>) -> Checked<Timestamp> {
    let text = value.scalar(Shape::Text)?;
    let minute = Resolution::Minute.length();
    let instant = Timestamp::parse_rfc3339(text).filter(|at| at.floor_to(minute) == *at);
    instant.ok_or_else(|| {
        value.error_with_help(
            format!("`{text}` is not a whole minute of a day"),
            "write `2026-12-06T02:00:00Z`, or with an offset: `2026-12-06T02:00:00+01:00`"
                .to_owned(),
        )
    })
}

fn reason(value: YamlValue<'_>) -> Checked<String> {
    let text = value.text()?.trim();
    if text.is_empty() {
        return Err(value.error("`reason` is empty: readers of the numbers need it"));
    }
    Ok(text.to_owned())
}

fn occurrences(fields: &Fields<'_>, recurrence: Recurrence<'_>) -> Checked<Vec<Timestamp>> {
    let reach = RecurrenceLimit {
        until: recurrence.from + AHEAD,
        most: MOST,
    };
    recurrence
        .occurrences(reach)
        .map_err(|error| fields.error_with_help("repeat", error.to_string(), error.help()))
}

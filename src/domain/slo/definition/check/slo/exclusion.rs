//! Planned work that spends no budget.

use std::{collections::BTreeSet, time::Duration};

use super::window::time_zone;
use crate::domain::{
    model::{
        ids::Name,
        recurrence::{Recurrence, RecurrenceLimit},
        time::{Resolution, TimeRange, Timestamp},
    },
    slo::{
        definition::{
            check::{
                document::Named,
                values::{self, required_ref},
            },
            diagnostics::{Diagnostics, SourceSpan},
            file::ExclusionSpec,
            read::{Field, Scalar},
            suggest,
        },
        exclusion::{Exclusion, ExclusionScope},
    },
};

/// How far ahead a rule without an end is followed.
const AHEAD: Duration = Duration::from_hours(20 * 365 * 24);
/// Occurrences of one exclusion: every day for 27 years.
const MOST: u16 = 10_000;

pub(crate) fn check(named: &Named<'_, ExclusionSpec>, slos: &BTreeSet<Name>) -> Option<Exclusion> {
    let findings = named.findings;
    let (spec, place) = named.spec.valid()?;
    let scope = scope(findings, spec.slos.as_ref(), slos);
    let from = required_ref(findings, &spec.from, place, "from")
        .and_then(|(text, place)| instant(findings, text, place));
    let length = required_ref(findings, &spec.length, place, "for")
        .and_then(|(text, place)| values::whole_minutes(findings, &text.0, place));
    let zone = time_zone(findings, spec.time_zone.as_ref());
    let reason = required_ref(findings, &spec.reason, place, "reason")
        .and_then(|(text, place)| said(findings, text, place));
    let starts = match &spec.repeat {
        None => from.map(|from| vec![from]),
        Some(field) => {
            let (rule, place) = field.valid()?;
            let recurrence = Recurrence {
                rule,
                from: from?,
                zone: zone?,
            };
            occurrences(findings, place, recurrence)
        }
    };
    let length = length?;
    let stretch = |from: Timestamp| TimeRange::new(from, from + length);
    Some(Exclusion {
        name: named.name.clone()?.0,
        scope: scope?,
        reason: reason?,
        stretches: starts?.into_iter().map(stretch).collect(),
    })
}

fn scope(
    findings: &Diagnostics<'_>,
    field: Option<&Field<Vec<Field<String>>>>,
    slos: &BTreeSet<Name>,
) -> Option<ExclusionScope> {
    let Some(field) = field else {
        return Some(ExclusionScope::All);
    };
    let (fields, place) = field.valid()?;
    if fields.is_empty() {
        let help = "name them, or leave `slos` out for all".to_owned();
        findings.error_with_help(place, "`slos` is empty: nothing would be excluded", help);
        return None;
    }
    let names: Vec<Option<Name>> = fields
        .iter()
        .map(|field| {
            let (text, place) = field.valid()?;
            let found = slos.iter().find(|name| name.as_str() == text);
            if found.is_none() {
                let help = suggest::did_you_mean(text, slos.iter().map(Name::as_str));
                findings.error_with_help(place, format!("there is no SLO `{text}`"), help);
            }
            found.cloned()
        })
        .collect();
    let names: Option<BTreeSet<Name>> = names.into_iter().collect();
    names.map(ExclusionScope::Only)
}

fn instant(
    findings: &Diagnostics<'_>,
    Scalar(text): &Scalar,
    place: SourceSpan,
) -> Option<Timestamp> {
    let minute = Resolution::Minute.length();
    let instant = Timestamp::parse_rfc3339(text).filter(|at| at.floor_to(minute) == *at);
    if instant.is_none() {
        findings.error_with_help(
            place,
            format!("`{text}` is not a whole minute of a day"),
            "write `2026-12-06T02:00:00Z`, or with an offset: `2026-12-06T02:00:00+01:00`"
                .to_owned(),
        );
    }
    instant
}

fn said(findings: &Diagnostics<'_>, text: &str, place: SourceSpan) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        findings.error(
            place,
            "`reason` is empty: whoever reads the numbers needs it",
        );
        return None;
    }
    Some(text.to_owned())
}

fn occurrences(
    findings: &Diagnostics<'_>,
    place: SourceSpan,
    recurrence: Recurrence<'_>,
) -> Option<Vec<Timestamp>> {
    let reach = RecurrenceLimit {
        until: recurrence.from + AHEAD,
        most: MOST,
    };
    recurrence
        .occurrences(reach)
        .map_err(|error| {
            findings.error_with_help(place, error.to_string(), error.help().to_owned());
        })
        .ok()
}

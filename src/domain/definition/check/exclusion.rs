//! Planned work that spends no budget.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeZone as _;
use rrule::{RRule, RRuleSet, Tz, Unvalidated};

use super::{
    super::{
        file::ExclusionSpec,
        problem::{Findings, Place},
        read::{Field, Scalar},
        suggest,
    },
    document::Named,
    values::{self, required_ref},
    window::time_zone,
};
use crate::domain::{
    exclusion::{Exclusion, ExclusionScope},
    names::Name,
    time::{Resolution, TimeRange, Timestamp},
};

/// How far ahead a rule without an end is followed.
const AHEAD: Duration = Duration::from_hours(20 * 365 * 24);
/// Occurrences of one exclusion: every day for 27 years.
const MOST: u16 = 10_000;

pub(super) fn check(named: &Named<'_, ExclusionSpec>, slos: &BTreeSet<Name>) -> Option<Exclusion> {
    let findings = named.findings;
    let (spec, place) = named.spec.valid()?;
    let scope = scope(findings, spec.slos.as_ref(), slos);
    let from = required_ref(findings, &spec.from, place, "from")
        .and_then(|(text, place)| instant(findings, text, place));
    let length = required_ref(findings, &spec.length, place, "for")
        .and_then(|(text, place)| values::whole_minutes(findings, &text.0, place));
    let zone = time_zone(findings, spec.time_zone.as_ref()).map(Tz::Tz);
    let reason = required_ref(findings, &spec.reason, place, "reason")
        .and_then(|(text, place)| said(findings, text, place));
    let starts = match &spec.repeat {
        None => from.map(|from| vec![from]),
        Some(field) => {
            let (rule, place) = field.valid()?;
            occurrences(findings, (rule, place), from?, zone?)
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
    findings: &Findings<'_>,
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

fn instant(findings: &Findings<'_>, Scalar(text): &Scalar, place: Place) -> Option<Timestamp> {
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

fn said(findings: &Findings<'_>, text: &str, place: Place) -> Option<String> {
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

/// The rule keeps the time of day in its zone, whatever the clocks there do.
fn occurrences(
    findings: &Findings<'_>,
    (text, place): (&str, Place),
    from: Timestamp,
    zone: Tz,
) -> Option<Vec<Timestamp>> {
    let local = |at: Timestamp| zone.from_utc_datetime(&at.to_chrono().naive_utc());
    let rule = text
        .parse::<RRule<Unvalidated>>()
        .and_then(|rule| rule.validate(local(from)));
    let rule = match rule {
        Ok(rule) => rule,
        Err(error) => {
            let message = format!("`{text}` is no recurrence rule: {}", reason(&error));
            let help = "write it as iCalendar does: `FREQ=WEEKLY;COUNT=10`, \
                        `FREQ=MONTHLY;BYDAY=1SU;UNTIL=20271231T000000Z`";
            findings.error_with_help(place, message, help.to_owned());
            return None;
        }
    };
    let has_end = rule.get_count().is_some() || rule.get_until().is_some();
    let all = RRuleSet::new(local(from))
        .rrule(rule)
        .before(local(from + AHEAD))
        .all(MOST);
    if all.limited && (has_end || all.dates.len() >= usize::from(MOST)) || all.dates.is_empty() {
        let message = if all.dates.is_empty() {
            format!("`{text}` never comes")
        } else {
            format!("`{text}` comes more than {MOST} times")
        };
        let help = "end it earlier with COUNT or UNTIL, or let it come less often".to_owned();
        findings.error_with_help(place, message, help);
        return None;
    }
    Some(all.dates.iter().map(|at| at.to_utc().into()).collect())
}

/// The library's words without its prefix, as ours are.
fn reason(error: &rrule::RRuleError) -> String {
    let text = match error {
        rrule::RRuleError::ParserError(error) => error.to_string(),
        rrule::RRuleError::ValidationError(error) => error.to_string(),
        rrule::RRuleError::IterError(text) => text.clone(),
    };
    let mut text = text.trim_end().trim_end_matches('.').to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

//! How goodness is measured.

use super::{
    correlate::{correlators, trace_state_key},
    fan_out, stages,
};
use crate::domain::{
    slo::{
        Indicator, SpanIndicator, SpanInstant, StartedAt, TimeUnit, WorkflowIndicator,
        definition::{
            check::{
                selector::{WorkflowDuration, attribute, selector},
                values::{self, optional, required_ref},
            },
            diagnostics::{Diagnostics, SourceSpan},
            file::{
                IndicatorFile, SpanFile, SpanInstantFile, StartedAtFile, UnitFile, WorkflowFile,
            },
            read::Field,
        },
        duration::format_duration,
    },
    traceql::Selector,
};

pub(crate) fn check(
    findings: &Diagnostics<'_>,
    file: &IndicatorFile,
    place: SourceSpan,
    window: Option<std::time::Duration>,
) -> Option<Indicator> {
    match (&file.workflow, &file.span) {
        (Some(field), None) => {
            let (file, place) = field.valid()?;
            let workflow = workflow(findings, file, place)?;
            within_fits(findings, file, &workflow, window)?;
            Some(Indicator::Workflow(workflow))
        }
        (None, Some(field)) => {
            let (file, place) = field.valid()?;
            Some(Indicator::Span(span(findings, file, place)?))
        }
        _ => {
            findings.error(
                place,
                "an indicator has exactly one of `workflow` and `span`",
            );
            None
        }
    }
}

fn workflow(
    findings: &Diagnostics<'_>,
    file: &WorkflowFile,
    place: SourceSpan,
) -> Option<WorkflowIndicator> {
    let start = required_selector(findings, &file.start, place, "start");
    let finish = required_selector(findings, &file.finish, place, "finish");
    let fail = optional_selector(findings, file.fail.as_ref());
    let cancel = optional_selector(findings, file.cancel.as_ref());
    let cancelled = fan_out::cancelled(findings, file);
    let pause = optional_selector(findings, file.pause.as_ref());
    let legs = fan_out::check(findings, file.legs.as_ref());
    let within = required_ref(findings, &file.within, place, "within")
        .and_then(|(text, place)| values::duration(findings, &text.0, place));
    let correlate = correlators(findings, &file.correlate, place);
    let stages = stages::check(findings, file.stages.as_ref());
    Some(WorkflowIndicator {
        fail: fail?,
        cancel: cancel?,
        cancelled: cancelled?,
        pause: pause?,
        legs: legs?,
        stages: stages?,
        start_at: instant(file.start_at.as_ref(), SpanInstant::Start)?,
        finish_at: instant(file.finish_at.as_ref(), SpanInstant::End)?,
        ..WorkflowIndicator::new(start?, finish?, within?, correlate?)
    })
}

fn instant(field: Option<&Field<SpanInstantFile>>, left_out: SpanInstant) -> Option<SpanInstant> {
    let Some(field) = field else {
        return Some(left_out);
    };
    let (instant, _) = field.valid()?;
    Some(match instant {
        SpanInstantFile::Start => SpanInstant::Start,
        SpanInstantFile::End => SpanInstant::End,
    })
}

fn within_fits(
    findings: &Diagnostics<'_>,
    file: &WorkflowFile,
    workflow: &WorkflowIndicator,
    window: Option<std::time::Duration>,
) -> Option<()> {
    let window = window?;
    if workflow.within < window {
        return Some(());
    }
    let (text, place) = file.within.valid()?;
    findings.error_with_help(
        place,
        format!(
            "`within` is {}, but the window of the objective is only {}",
            text.0,
            format_duration(window)
        ),
        "a promise must be shorter than the window that it is counted in".to_owned(),
    );
    None
}

fn required_selector(
    findings: &Diagnostics<'_>,
    field: &Field<String>,
    parent: SourceSpan,
    key: &str,
) -> Option<Selector> {
    let (text, place) = required_ref(findings, field, parent, key)?;
    selector(findings, text, place, WorkflowDuration::Unknown)
}

/// The outer `None` is a mistake, the inner one a field left out.
#[expect(
    clippy::option_option,
    reason = "left out and wrong are different, and neither has a value"
)]
fn optional_selector(
    findings: &Diagnostics<'_>,
    field: Option<&Field<String>>,
) -> Option<Option<Selector>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (text, place) = field.valid()?;
    selector(findings, text, place, WorkflowDuration::Unknown).map(Some)
}

fn span(findings: &Diagnostics<'_>, file: &SpanFile, place: SourceSpan) -> Option<SpanIndicator> {
    let matches = required_selector(findings, &file.matches, place, "match");
    let good = required_ref(findings, &file.good, place, "good")
        .and_then(|(text, place)| selector(findings, text, place, WorkflowDuration::Known));
    let started_at = match &file.started_at {
        None => Some(None),
        Some(field) => field
            .valid()
            .and_then(|(file, place)| started_at(findings, file, place))
            .map(Some),
    };
    Some(SpanIndicator {
        started_at: started_at?,
        ..SpanIndicator::new(matches?, good?)
    })
}

fn started_at(
    findings: &Diagnostics<'_>,
    file: &StartedAtFile,
    place: SourceSpan,
) -> Option<StartedAt> {
    let unit = optional(file.unit.as_ref());
    if let (None, Some((_, place))) = (&file.attribute, unit) {
        findings.error(place, "`unit` belongs to `attribute`, which is not there");
    }
    match (&file.tracestate, &file.attribute, &file.event) {
        (Some(field), None, None) => {
            let (key, place) = field.valid()?;
            trace_state_key(findings, key, place).map(|key| StartedAt::TraceState { key })
        }
        (None, Some(field), None) => {
            let (text, place) = field.valid()?;
            let attribute = attribute(findings, text, place);
            if file.unit.is_none() {
                findings.error_with_help(
                    place,
                    "missing field `unit`: how the attribute writes an instant",
                    "one of `ns`, `us`, `ms`, `s` (since the epoch) and `rfc3339`".to_owned(),
                );
            }
            Some(StartedAt::Attribute {
                attribute: attribute?,
                unit: time_unit(*unit?.0),
            })
        }
        (None, None, Some(field)) => {
            let (name, _) = field.valid()?;
            Some(StartedAt::Event { name: name.clone() })
        }
        _ => {
            findings.error(
                place,
                "`startedAt` has exactly one of `tracestate`, `attribute` and `event`",
            );
            None
        }
    }
}

const fn time_unit(unit: UnitFile) -> TimeUnit {
    match unit {
        UnitFile::Ns => TimeUnit::Nanoseconds,
        UnitFile::Us => TimeUnit::Microseconds,
        UnitFile::Ms => TimeUnit::Milliseconds,
        UnitFile::S => TimeUnit::Seconds,
        UnitFile::Rfc3339 => TimeUnit::Rfc3339,
    }
}

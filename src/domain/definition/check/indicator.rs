//! How goodness is measured.

use super::{
    super::{
        Correlator, Indicator, SpanEdge, SpanIndicator, StartedAt, TimeUnit, WorkflowIndicator,
        duration::format_duration,
        file::{IndicatorFile, SpanEdgeFile, SpanFile, StartedAtFile, UnitFile, WorkflowFile},
        problem::{Findings, Place},
        read::{Field, TextOr},
    },
    selector::{WorkflowDuration, attribute, selector},
    stages,
    values::{self, optional, required_ref},
};
use crate::domain::selector::Selector;

pub(super) fn check(
    findings: &Findings<'_>,
    file: &IndicatorFile,
    place: Place,
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
    findings: &Findings<'_>,
    file: &WorkflowFile,
    place: Place,
) -> Option<WorkflowIndicator> {
    let start = required_selector(findings, &file.start, place, "start");
    let finish = required_selector(findings, &file.finish, place, "finish");
    let fail = optional_selector(findings, file.fail.as_ref());
    let cancel = optional_selector(findings, file.cancel.as_ref());
    let within = required_ref(findings, &file.within, place, "within")
        .and_then(|(text, place)| values::duration(findings, &text.0, place));
    let correlate = correlators(findings, file, place);
    let stages = stages::check(findings, file.stages.as_ref());
    Some(WorkflowIndicator {
        fail: fail?,
        cancel: cancel?,
        stages: stages?,
        start_at: edge(file.start_at.as_ref(), SpanEdge::Start)?,
        finish_at: edge(file.finish_at.as_ref(), SpanEdge::End)?,
        ..WorkflowIndicator::new(start?, finish?, within?, correlate?)
    })
}

fn edge(field: Option<&Field<SpanEdgeFile>>, left_out: SpanEdge) -> Option<SpanEdge> {
    let Some(field) = field else {
        return Some(left_out);
    };
    let (edge, _) = field.valid()?;
    Some(match edge {
        SpanEdgeFile::Start => SpanEdge::Start,
        SpanEdgeFile::End => SpanEdge::End,
    })
}

fn within_fits(
    findings: &Findings<'_>,
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
    findings: &Findings<'_>,
    field: &Field<String>,
    parent: Place,
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
    findings: &Findings<'_>,
    field: Option<&Field<String>>,
) -> Option<Option<Selector>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (text, place) = field.valid()?;
    selector(findings, text, place, WorkflowDuration::Unknown).map(Some)
}

fn correlators(
    findings: &Findings<'_>,
    file: &WorkflowFile,
    parent: Place,
) -> Option<Vec<Correlator>> {
    let (fields, place) = required_ref(findings, &file.correlate, parent, "correlate")?;
    if fields.is_empty() {
        findings.error_with_help(
            place,
            "`correlate` is empty: nothing would tell which spans belong together",
            "write `[trace]`, or an attribute of all of them first: `[span.order.id, trace]`"
                .to_owned(),
        );
        return None;
    }
    let correlators: Vec<Option<Correlator>> = fields
        .iter()
        .map(|field| {
            let (file, place) = field.valid()?;
            correlator(findings, file, place)
        })
        .collect();
    correlators.into_iter().collect()
}

fn correlator(
    findings: &Findings<'_>,
    file: &TextOr<super::super::file::CorrelatorFile>,
    place: Place,
) -> Option<Correlator> {
    match file {
        TextOr::Text(text) if text == "trace" => Some(Correlator::Trace),
        TextOr::Text(text) if text == "links" || text.starts_with("tracestate") => {
            findings.error_with_help(
                place,
                format!("not yet supported: correlation by `{text}`"),
                "attributes and `trace` serve".to_owned(),
            );
            None
        }
        TextOr::Text(text) => Some(Correlator::Attribute {
            attribute: attribute(findings, text, place)?,
            run: None,
        }),
        TextOr::Shape(file) => {
            let name = required_ref(findings, &file.attribute, place, "attribute")
                .and_then(|(text, place)| attribute(findings, text, place));
            let run = match &file.run {
                None => None,
                Some(field) => {
                    let (text, place) = field.valid()?;
                    Some(attribute(findings, text, place)?)
                }
            };
            Some(Correlator::Attribute {
                attribute: name?,
                run,
            })
        }
    }
}

fn span(findings: &Findings<'_>, file: &SpanFile, place: Place) -> Option<SpanIndicator> {
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

fn started_at(findings: &Findings<'_>, file: &StartedAtFile, place: Place) -> Option<StartedAt> {
    let unit = optional(file.unit.as_ref());
    if let (None, Some((_, place))) = (&file.attribute, unit) {
        findings.error(place, "`unit` belongs to `attribute`, which is not there");
    }
    match (&file.tracestate, &file.attribute, &file.event) {
        (Some(field), None, None) => {
            let (key, place) = field.valid()?;
            trace_state_key(findings, key, place)
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

fn trace_state_key(findings: &Findings<'_>, key: &str, place: Place) -> Option<StartedAt> {
    let is_key_char = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@')
    };
    if !key.is_empty() && key.len() <= 256 && key.chars().all(is_key_char) {
        return Some(StartedAt::TraceState {
            key: key.to_owned(),
        });
    }
    findings.error_with_help(
        place,
        format!("`{key}` is not a key of a W3C trace state"),
        "use a-z, 0-9, `_`, `-`, `*`, `/` and `@`".to_owned(),
    );
    None
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

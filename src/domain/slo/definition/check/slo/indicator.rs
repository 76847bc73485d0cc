//! Reads the indicator of an SLO.

use std::time::Duration;

use super::{
    correlate::{self, trace_state_key},
    fan_out, stages, weighing,
};
use crate::domain::{
    model::sampling::Weighing,
    slo::{
        Indicator, SpanIndicator, SpanInstant, StartedAt, TimeUnit, WorkflowIndicator,
        definition::{
            check::{
                selector::{attribute, selector, selector_with_duration},
                values,
            },
            diagnostics::Reported,
            fields::Fields,
            value::{Checked, YamlValue},
        },
        duration::format_duration,
    },
    traceql::Selector,
};

/// The indicator, and the weighting of its spans.
type Measured = (Indicator, Weighing);

pub(crate) fn read(value: YamlValue<'_>, window: Option<Duration>) -> Checked<Measured> {
    value.group("Indicator", "How goodness is measured.", |fields| {
        fields.one_of(
            "an indicator",
            None,
            &[
                (
                    "workflow",
                    "Work of several spans that is good if it finishes in time.",
                    &|value| workflow(value, window),
                ),
                ("span", "Work that one span can decide.", &span),
            ],
        )
    })
}

fn workflow(value: YamlValue<'_>, window: Option<Duration>) -> Checked<Measured> {
    let about = "Work of several spans that is good if it finishes in time.";
    value.group("Workflow", about, |fields| workflow_fields(fields, window))
}

fn workflow_fields(fields: &Fields<'_>, window: Option<Duration>) -> Checked<Measured> {
    let start = fields.required("start", "Spans that start a workflow.", selector);
    let about = "Early spans that say that the work exists, where the start span is exported only when the \
                 work ends.";
    let opens = fields.optional("opens", about, selector);
    let about = "Where start spans and those of `opens` say since when, if not by their own start.";
    let started_at = fields.optional("startedAt", about, started_at);
    let finish = fields.required("finish", "Spans that finish it successfully.", selector);
    let finish_at = fields.or(
        "finishAt",
        "end",
        "Whether it is finished at the `start` of the finish span or at its `end`.",
        instant,
    );
    let fail = fields.optional(
        "fail",
        "Spans of a permanent failure: bad at once.",
        selector,
    );
    let cancel = fields.optional("cancel", "Spans that cancel it.", selector);
    let cancelled = fan_out::cancelled(fields);
    let pause = fields.optional(
        "pause",
        "Spans during which the time does not count, such as the wait for an approval.",
        selector,
    );
    let legs = fan_out::read(fields);
    let within = within(fields, window);
    let correlate = correlate::read(fields);
    let stages = stages::read(fields);
    let start_at = fields.or(
        "startAt",
        "start",
        "Whether it starts at the `start` of its start span or at its `end`.",
        instant,
    );
    let weighing = weighing::of_workflow(fields);
    warn_of_one_span(fields, &start, &finish);
    let workflow = WorkflowIndicator {
        opens: opens?,
        started_at: started_at?,
        fail: fail?,
        cancel: cancel?,
        cancelled: cancelled?,
        pause: pause?,
        legs: legs?,
        stages: stages?,
        start_at: start_at?,
        finish_at: finish_at?,
        ..WorkflowIndicator::new(start?, finish?, within?, correlate?)
    };
    Ok((Indicator::Workflow(workflow), weighing?))
}

/// Warns of a span that is start and end at once: it is exported when it ends, so work that hangs
/// sends nothing.
fn warn_of_one_span(fields: &Fields<'_>, start: &Checked<Selector>, finish: &Checked<Selector>) {
    let (Ok(start), Ok(finish), false) = (start, finish, fields.has("opens")) else {
        return;
    };
    if start.may_select_the_same_span_as(finish) {
        fields.findings.warn(
            fields.at("start"),
            "`start` and `finish` can select the same span: it is exported when it ends, so work that hangs \
             is not seen",
            "add `opens`, a selector of early spans of the same work: `opens: '{ name =~ \"RunActivity.*\" }'`"
                .to_owned(),
        );
    }
}

fn instant(value: YamlValue<'_>) -> Checked<SpanInstant> {
    value.word(&[("start", SpanInstant::Start), ("end", SpanInstant::End)])
}

fn within(fields: &Fields<'_>, window: Option<Duration>) -> Checked<Duration> {
    let about = "The longest that a workflow may take, from start to finish.";
    let within = fields.required("within", about, values::duration)?;
    match window {
        Some(window) if within >= window => Err(fields.error_with_help(
            "within",
            format!(
                "`within` is {}, but the window of the objective is only {}",
                fields.written("within"),
                format_duration(window)
            ),
            "the time limit must be shorter than the window of the SLO",
        )),
        _ => Ok(within),
    }
}

fn span(value: YamlValue<'_>) -> Checked<Measured> {
    value.group("Span", "Work that one span can decide.", |fields| {
        let matches = fields.required("match", "Spans that are events.", selector);
        let good = fields.required("good", "Which of them are good.", selector_with_duration);
        let started_at = fields.optional(
            "startedAt",
            "Where the span says when its workflow started, for `workflow:duration`.",
            started_at,
        );
        let weighing = weighing::of_span(fields);
        let span = SpanIndicator {
            started_at: started_at?,
            ..SpanIndicator::new(matches?, good?)
        };
        Ok((Indicator::Span(span), weighing?))
    })
}

fn started_at(value: YamlValue<'_>) -> Checked<StartedAt> {
    let about = "Where a span says since when the work exists.";
    value.group("StartedAt", about, |fields| {
        let about = "How the time is written: since the epoch in `ns`, `us`, `ms` or `s`, or as `rfc3339`. \
                     Required for `attribute`; `ns` for the others if left out.";
        let unit = fields.optional("unit", about, unit);
        let is_missing = fields.has("attribute") && !fields.has("unit");
        if is_missing {
            fields.error_with_help(
                "attribute",
                "missing field `unit`: how the attribute writes an instant",
                "one of `ns`, `us`, `ms`, `s` (since the epoch) and `rfc3339`",
            );
        }
        if fields.has("event") && unit == Ok(Some(TimeUnit::Rfc3339)) {
            return Err(fields.error_with_help(
                "unit",
                "the time of an event is a number",
                "one of `ns`, `us`, `ms` and `s` (since the epoch)",
            ));
        }
        let nanoseconds = unit.map(|unit| unit.unwrap_or(TimeUnit::Nanoseconds));
        fields.one_of(
            "`startedAt`",
            None,
            &[
                (
                    "tracestate",
                    "Key of the W3C trace state, on the span or a link.",
                    &|value| {
                        let key = trace_state_key(value)?;
                        let unit = nanoseconds?;
                        Ok(StartedAt::TraceState { key, unit })
                    },
                ),
                (
                    "attribute",
                    "Attribute with the time; needs `unit`.",
                    &|value| {
                        let attribute = attribute(value)?;
                        let unit = unit?.ok_or(Reported)?;
                        Ok(StartedAt::Attribute { attribute, unit })
                    },
                ),
                ("event", "Name of a span event.", &|value| {
                    let name = values::text(value)?;
                    let unit = nanoseconds?;
                    Ok(StartedAt::Event { name, unit })
                }),
            ],
        )
    })
}

fn unit(value: YamlValue<'_>) -> Checked<TimeUnit> {
    value.word(&[
        ("ns", TimeUnit::Nanoseconds),
        ("us", TimeUnit::Microseconds),
        ("ms", TimeUnit::Milliseconds),
        ("s", TimeUnit::Seconds),
        ("rfc3339", TimeUnit::Rfc3339),
    ])
}

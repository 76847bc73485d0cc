//! Mistakes of a definition that its selectors alone do not reveal, each with its correction.

use std::{collections::BTreeSet, time::Duration};

use super::{SampledSpans, StoredSpan};
use crate::domain::{
    model::{
        span::{AttributeName, SpanView as _},
        time::Timestamp,
    },
    slo::{Correlator, Indicator, Slo, StartedAt, TimeUnit, WorkflowIndicator},
    traceql::{Selector, similar_attribute},
    workflow::classify::{Role, correlator_of, selectors, started_at},
};

/// The longest time before a span at which its work may plausibly have begun.
const LONGEST: Duration = Duration::from_hours(366 * 24);
/// The largest plausible difference between the clocks of two hosts.
const SKEW: Duration = Duration::from_mins(5);

/// The units of times with the words of a definition.
pub const TIME_UNITS: [(TimeUnit, &str); 5] = [
    (TimeUnit::Nanoseconds, "ns"),
    (TimeUnit::Microseconds, "us"),
    (TimeUnit::Milliseconds, "ms"),
    (TimeUnit::Seconds, "s"),
    (TimeUnit::Rfc3339, "rfc3339"),
];

/// Returns likely mistakes of a definition, by the spans that its selectors match.
pub(super) fn advice(slo: &Slo, sample: &SampledSpans) -> Vec<String> {
    let mut advice = Vec::new();
    if let Indicator::Workflow(workflow) = &slo.indicator {
        advice.extend(one_span(workflow, sample));
        advice.extend(ids_that_differ(workflow, sample));
    }
    advice.extend(missing_customer(slo, sample));
    advice.extend(wrong_unit(&slo.indicator, sample));
    advice
}

fn spans<'s>(
    sample: &'s SampledSpans,
    selector: &'s Selector,
) -> impl Iterator<Item = &'s StoredSpan> {
    sample.matching(selector).map(|found| found.span)
}

/// Detects a workflow with one span for start and end: it is exported when it ends, so work that
/// never ends is never noticed.
fn one_span(workflow: &WorkflowIndicator, sample: &SampledSpans) -> Option<String> {
    if workflow.opens.is_some() {
        return None;
    }
    let finished: BTreeSet<_> = spans(sample, &workflow.finish)
        .map(StoredSpan::id)
        .collect();
    let mut started = spans(sample, &workflow.start);
    started.any(|span| finished.contains(&span.id())).then(|| {
        "The same spans match `start` and `finish`. A span is sent when it ends, so work that never \
         ends is never noticed: let `opens` select an early span of the work."
            .to_owned()
    })
}

/// Detects different ids at both ends: a start and its end are joined only if the same correlator
/// applies to both.
fn ids_that_differ(workflow: &WorkflowIndicator, sample: &SampledSpans) -> Option<String> {
    let by = |role, selector| -> BTreeSet<Option<String>> {
        let spans = spans(sample, selector);
        let by = spans.map(|span| correlator_of(&workflow.correlate, role, span.span()));
        by.map(|by| by.map(Correlator::in_words)).collect()
    };
    let starts = by(Role::Start, &workflow.start);
    let finishes = by(Role::Finish, &workflow.finish);
    if starts.is_empty() || finishes.is_empty() {
        return None;
    }
    let mut shared = starts.intersection(&finishes).flatten();
    if shared.next().is_some() {
        return None;
    }
    let (start, finish) = (listed(&starts), listed(&finishes));
    let lacking = if starts.contains(&None) {
        spans(sample, &workflow.start).next()
    } else {
        spans(sample, &workflow.finish).next()
    };
    let similar = lacking.and_then(|span| similar_id(&workflow.correlate, span));
    let mend = match similar {
        Some((wanted, found)) => format!(
            "`{wanted}` is absent where `{found}` is there: set it on both sides, or name an \
             attribute that both have."
        ),
        None => "Set the id on both sides, or name an attribute that both have.".to_owned(),
    };
    Some(format!(
        "Start spans are identified by {start}, finish spans by {finish}, so no finish belongs to a \
         start. {mend}"
    ))
}

fn listed(by: &BTreeSet<Option<String>>) -> String {
    let words: Vec<String> = by
        .iter()
        .map(|by| match by {
            Some(by) => format!("`{by}`"),
            None => "nothing".to_owned(),
        })
        .collect();
    words.join(" or ")
}

fn similar_id(
    correlators: &[Correlator],
    span: &StoredSpan,
) -> Option<(AttributeName, AttributeName)> {
    correlators.iter().find_map(|correlator| {
        let wanted = match correlator {
            Correlator::Attribute { attribute, .. } => attribute,
            Correlator::Message { id, .. } => id,
            Correlator::TraceState { .. } | Correlator::Trace | Correlator::Links { .. } => {
                return None;
            }
        };
        is_absent(span, wanted).then_some(())?;
        Some((wanted.clone(), similar_attribute(span.span(), wanted)?))
    })
}

fn is_absent(span: &StoredSpan, attribute: &AttributeName) -> bool {
    let value = span.span().attribute(attribute.scope, &attribute.key);
    value.is_none()
}

/// Detects a missing customer. Any span of the work may name it.
fn missing_customer(slo: &Slo, sample: &SampledSpans) -> Option<String> {
    let customer = slo.customer.as_ref()?;
    let matched = selectors(&slo.indicator).flat_map(|(_, selector)| spans(sample, selector));
    let matched: Vec<&StoredSpan> = matched.collect();
    if matched.is_empty() || !matched.iter().all(|span| is_absent(span, customer)) {
        return None;
    }
    let mut similar = matched
        .iter()
        .filter_map(|span| similar_attribute(span.span(), customer));
    let mend = match similar.next() {
        Some(found) => format!("`{found}` is there: name it, or set the other."),
        None => "Set it, or name one that spans have.".to_owned(),
    };
    Some(format!(
        "`customer`: no span that is selected has `{customer}`, so no customer is known to be affected. \
         {mend}"
    ))
}

/// Detects a wrong unit: a time in another unit is centuries away.
fn wrong_unit(indicator: &Indicator, sample: &SampledSpans) -> Option<String> {
    let (source, selector) = match indicator {
        Indicator::Workflow(workflow) => (workflow.started_at.as_ref()?, &workflow.start),
        Indicator::Span(event) => (event.started_at.as_ref()?, &event.matches),
    };
    let span = spans(sample, selector).find(|span| !is_plausible(source, span))?;
    let plausible = TIME_UNITS.into_iter().find(|(unit, _)| {
        let other = with_unit(source, *unit);
        is_plausible(&other, span)
    });
    let what = match source {
        StartedAt::TraceState { key, .. } => format!("tracestate: {key}"),
        StartedAt::Attribute { attribute, .. } => attribute.to_string(),
        StartedAt::Event { name, .. } => format!("event: {name}"),
    };
    match (plausible, started_at::read(source, span.span())) {
        (Some((_, unit)), _) => Some(format!(
            "`startedAt`: `{what}` is no plausible time in the unit of the definition. With \
             `unit: {unit}` it is."
        )),
        (None, None) => Some(format!(
            "`startedAt`: `{what}` is absent or no time on spans that are selected."
        )),
        (None, Some(_)) => Some(format!(
            "`startedAt`: `{what}` is no plausible time in any unit."
        )),
    }
}

fn is_plausible(source: &StartedAt, span: &StoredSpan) -> bool {
    let Some(nanos) = started_at::read(source, span.span()) else {
        return false;
    };
    let Ok(micros) = i64::try_from(nanos / 1_000) else {
        return false;
    };
    let started = Timestamp::from_micros(micros);
    let end = Timestamp::from_unix_nanos(span.span().end_unix_nano());
    started <= end + SKEW && started >= end - LONGEST
}

fn with_unit(source: &StartedAt, unit: TimeUnit) -> StartedAt {
    match source.clone() {
        StartedAt::TraceState { key, .. } => StartedAt::TraceState { key, unit },
        StartedAt::Attribute { attribute, .. } => StartedAt::Attribute { attribute, unit },
        StartedAt::Event { name, .. } => StartedAt::Event { name, unit },
    }
}

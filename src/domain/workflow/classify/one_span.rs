//! Events that consist of one span.

use super::{DiscardReason, Found, correlate::Identity, started_at, times};
use crate::domain::{
    model::{
        span::{SpanStatus, SpanView},
        time::Timestamp,
    },
    slo::SpanIndicator,
    traceql::SelectorContext,
    workflow::{Fact, SpanOutcome},
};

/// Returns the evidence of the span, if it is an event.
pub(super) fn read(event: &SpanIndicator, span: &dyn SpanView, horizon: Timestamp) -> Found {
    if !event.matches.matches(span, SelectorContext::default()) {
        return None;
    }
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    if end < horizon {
        return Some(Err(DiscardReason::TooLate));
    }
    let Some(started_nanos) = started_nanos(event, span) else {
        return Some(Err(DiscardReason::NoStartTime));
    };
    let duration = i128::from(span.end_unix_nano()) - started_nanos;
    let context = SelectorContext {
        workflow_duration_ns: Some(i64::try_from(duration).unwrap_or(i64::MAX)),
    };
    let outcome = if event.good.matches(span, context) {
        SpanOutcome::Good
    } else if span.status() == SpanStatus::Error {
        SpanOutcome::Failed
    } else {
        SpanOutcome::Late
    };
    let started = Timestamp::from_micros(i64::try_from(started_nanos / 1_000).unwrap_or(i64::MAX));
    // The span itself may be in time, but the record of a workflow that began so long ago may have
    // been purged.
    if outcome == SpanOutcome::Good && asks_how_long(event) && started < horizon {
        return Some(Err(DiscardReason::TooLate));
    }
    Some(Ok((
        Identity::of_span(span).into(),
        Fact::Decided {
            started,
            at: end,
            outcome,
        },
    )))
}

fn asks_how_long(event: &SpanIndicator) -> bool {
    event.good.uses_duration() || event.good.uses_workflow_duration()
}

/// Returns when the event's workflow started, in nanoseconds since 1970: from the field that the
/// definition names, or the start of the span. A span without a start is treated as starting at its
/// end. `None` if the outcome depends on a start that is missing.
fn started_nanos(event: &SpanIndicator, span: &dyn SpanView) -> Option<i128> {
    let has_start = times::start_of(span).is_some();
    if !has_start && event.good.uses_duration() {
        return None;
    }
    match &event.started_at {
        Some(source) => started_at::read(source, span).filter(|nanos| times::is_start(*nanos)),
        None if has_start => Some(i128::from(span.start_unix_nano())),
        None if event.good.uses_workflow_duration() => None,
        None => Some(i128::from(span.end_unix_nano())),
    }
}

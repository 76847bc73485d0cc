//! The start of a span's workflow, read from the field that the definition names, in its unit.

use crate::domain::{
    model::{
        span::{SpanView, Value},
        time::Timestamp,
        trace_state,
    },
    slo::{StartedAt, TimeUnit},
};

/// Returns nanoseconds since the epoch, or `None` if the field is missing or not a time.
pub fn read(source: &StartedAt, span: &dyn SpanView) -> Option<i128> {
    match source {
        StartedAt::TraceState { key, unit } => from_trace_states(key, *unit, span),
        StartedAt::Attribute { attribute, unit } => {
            from_value(span.attribute(attribute.scope, &attribute.key)?, *unit)
        }
        StartedAt::Event { name, unit } => {
            let mut earliest: Option<u64> = None;
            span.any_event(&mut |event| {
                if event.name() == name && event.time_unix_nano() > 0 {
                    let time = event.time_unix_nano();
                    earliest = Some(earliest.map_or(time, |known| known.min(time)));
                }
                false
            });
            Some(i128::from(earliest?) * nanos_per(*unit)?)
        }
    }
}

/// Reads the span's own trace state first, then the first link that has the key.
fn from_trace_states(key: &str, unit: TimeUnit, span: &dyn SpanView) -> Option<i128> {
    from_trace_state(key, unit, span.trace_state()).or_else(|| {
        let mut found = None;
        span.any_link(&mut |link| {
            found = from_trace_state(key, unit, link.trace_state());
            found.is_some()
        });
        found
    })
}

fn from_trace_state(key: &str, unit: TimeUnit, trace_state: &str) -> Option<i128> {
    from_value(
        Value::String(trace_state::value(trace_state, key)?.into()),
        unit,
    )
}

fn from_value(value: Value<'_>, unit: TimeUnit) -> Option<i128> {
    match value {
        Value::String(text) if unit == TimeUnit::Rfc3339 => {
            Timestamp::parse_rfc3339(&text).map(|at| i128::from(at.as_micros()) * 1_000)
        }
        Value::String(text) => from_digits(text.trim(), unit),
        Value::Int(number) => Some(i128::from(number) * nanos_per(unit)?),
        Value::Double(number) => from_double(number, unit),
        Value::Bool(_) | Value::Array(_) => None,
    }
}

fn from_digits(text: &str, unit: TimeUnit) -> Option<i128> {
    match text.parse::<i64>() {
        Ok(number) => Some(i128::from(number) * nanos_per(unit)?),
        Err(_) => from_double(text.parse().ok()?, unit),
    }
}

fn from_double(number: f64, unit: TimeUnit) -> Option<i128> {
    #[expect(clippy::cast_precision_loss, reason = "at most a billion")]
    let nanos = number * nanos_per(unit)? as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be in the range of an i64"
    )]
    (nanos.is_finite() && nanos.abs() < 9e18).then_some(nanos as i128)
}

const fn nanos_per(unit: TimeUnit) -> Option<i128> {
    match unit {
        TimeUnit::Nanoseconds => Some(1),
        TimeUnit::Microseconds => Some(1_000),
        TimeUnit::Milliseconds => Some(1_000_000),
        TimeUnit::Seconds => Some(1_000_000_000),
        TimeUnit::Rfc3339 => None,
    }
}

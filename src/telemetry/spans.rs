//! What spans need of OpenTelemetry beyond `tracing`; nothing is done while they are not exported.

use std::collections::HashMap;

use opentelemetry::{Context, Value, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes `span`, which was not entered yet, a child of the span that W3C's headers name. What they do
/// not name, or not as the standard has it, leaves it the first of its trace.
pub fn continue_trace(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) {
    let headers = [("traceparent", traceparent), ("tracestate", tracestate)];
    let carrier: HashMap<String, String> = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    if traceparent.is_some() {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        // Fails where spans are not exported: then nothing is continued.
        drop(span.set_parent(parent));
    }
}

/// Sets an attribute that log lines do without.
pub fn set_attribute(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value);
}

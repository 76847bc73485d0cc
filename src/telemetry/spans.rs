//! Functions for spans that `tracing` lacks and OpenTelemetry has; they do nothing while spans are
//! not exported.

use std::collections::HashMap;

use opentelemetry::{Context, Value, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes `span`, which has not been entered yet, a child of the span named by the W3C trace context
/// headers. Without headers, or with invalid ones, it remains the root of its own trace.
pub fn continue_trace(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) {
    let headers = [("traceparent", traceparent), ("tracestate", tracestate)];
    let carrier: HashMap<String, String> = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    if traceparent.is_some() {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        // Fails only while spans are not exported, when there is no trace to continue.
        drop(span.set_parent(parent));
    }
}

/// Sets an attribute on the exported span that log lines omit.
pub fn set_attribute(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value);
}

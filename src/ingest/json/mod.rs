//! Reads OTLP/JSON, tolerant of what senders actually write. An invalid value is absent, and a span
//! without usable ids is rejected alone.
//!
//! This is not proto3's JSON: ids are hexadecimal. Beyond the specification it accepts numbers in
//! place of strings and strings in place of numbers, names of enumerations, ids as arrays of
//! numbers, and `null` as absent everywhere. Few senders use JSON, so it is read in the ordinary
//! way: a tree, then values.

mod fields;
#[cfg(test)]
mod same;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use self::{
    fields::{
        attributes, enumeration, id, objects, parent, readable_object, readable_objects,
        shared_attributes, text, unsigned,
    },
    tree::{JsonObject, JsonTree},
};
use super::{
    Malformed, Rejection,
    reply::OtherContent,
    unreadable::{SpansWithFaults, ValueFaults},
};
use crate::domain::model::{
    ids::{SpanId, TraceId},
    span::{Event, Instrumentation, Link, Span, SpanAttributes, SpanKind, SpanStatus, SpanView},
};

/// Returns the most memory that the tree of `body` can use.
///
/// Each of these characters begins or ends a value: `[0,0,0,...` takes 36 times its length. Those
/// inside strings are counted too, which errs on the safe side.
pub fn footprint(body: &[u8]) -> usize {
    const BYTES_A_VALUE: usize = 80;

    let values = body
        .iter()
        .filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{'))
        .count();
    body.len() + values * BYTES_A_VALUE
}

/// The contents of a body other than its spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonReport {
    pub with_faults: SpansWithFaults,
    pub(in crate::ingest) other_content: Option<OtherContent>,
}

/// Calls `each` with every span of the body, in order, or with the reason why it cannot be used.
///
/// # Errors
/// If the body is not JSON, or if the objects around its spans have the wrong types.
pub fn read(
    body: &[u8],
    each: &mut dyn FnMut(Result<&dyn SpanView, Rejection>),
) -> Result<JsonReport, Malformed> {
    let request = tree::parse(body).map_err(Malformed::Json)?;
    let JsonTree::Object(request) = request else {
        return Err(Malformed::Json("the request is not an object".to_owned()));
    };
    let mut reading = Reading {
        report: JsonReport::default(),
        each,
    };
    reading.request(&request).map_err(Malformed::Json)?;
    Ok(reading.report)
}

struct Reading<'e> {
    report: JsonReport,
    each: &'e mut dyn FnMut(Result<&dyn SpanView, Rejection>),
}

impl Reading<'_> {
    fn request(&mut self, request: &JsonObject<'_>) -> Result<(), String> {
        self.look_for(
            request,
            &[
                ("resource_spans", OtherContent::SnakeCase),
                ("resourceLogs", OtherContent::Logs),
                ("resourceMetrics", OtherContent::Metrics),
            ],
        );
        for resource_spans in objects(request, "resourceSpans")? {
            let resource_spans = resource_spans?;
            self.look_for(
                resource_spans,
                &[
                    ("scope_spans", OtherContent::SnakeCase),
                    (
                        "instrumentationLibrarySpans",
                        OtherContent::InstrumentationLibrary,
                    ),
                ],
            );
            let resource = JsonResource::read(resource_spans);
            for scope_spans in objects(resource_spans, "scopeSpans")? {
                self.scope_spans(scope_spans?, &resource)?;
            }
        }
        Ok(())
    }

    /// Records the first of `names` that `object` has.
    fn look_for(&mut self, object: &JsonObject<'_>, names: &[(&str, OtherContent)]) {
        let mut present = names
            .iter()
            .filter(|(name, _)| object.member(name).is_some());
        if let Some((_, content)) = present.next() {
            self.report.other_content.get_or_insert(*content);
        }
    }

    fn scope_spans(
        &mut self,
        scope_spans: &JsonObject<'_>,
        resource: &JsonResource,
    ) -> Result<(), String> {
        let scope = JsonScope::read(scope_spans);
        for span in objects(scope_spans, "spans")? {
            let faults = ValueFaults::default();
            let span = span.map_err(Rejection::Malformed);
            match span.and_then(|span| read_span(span, resource, &scope, &faults)) {
                Ok(span) => (self.each)(Ok(&span)),
                Err(refusal) => (self.each)(Err(refusal)),
            }
            let faults_of_parts = [&faults, &resource.faults, &scope.faults];
            self.report.with_faults.count(faults_of_parts);
        }
        Ok(())
    }
}

#[derive(Default)]
struct JsonResource {
    attributes: Arc<SpanAttributes>,
    faults: ValueFaults,
}

impl JsonResource {
    fn read(resource_spans: &JsonObject<'_>) -> Self {
        let faults = ValueFaults::default();
        let attributes = readable_object(resource_spans, "resource", &faults)
            .map(|resource| Arc::new(shared_attributes(resource, &faults)));
        Self {
            attributes: attributes.unwrap_or_default(),
            faults,
        }
    }
}

#[derive(Default)]
struct JsonScope {
    instrumentation: Arc<Instrumentation>,
    faults: ValueFaults,
}

impl JsonScope {
    fn read(scope_spans: &JsonObject<'_>) -> Self {
        let faults = ValueFaults::default();
        let scope = readable_object(scope_spans, "scope", &faults);
        let instrumentation = scope.map(|scope| Instrumentation {
            name: text(scope, "name", &faults),
            version: text(scope, "version", &faults),
            attributes: shared_attributes(scope, &faults),
        });
        Self {
            instrumentation: Arc::new(instrumentation.unwrap_or_default()),
            faults,
        }
    }
}

fn read_span(
    span: &JsonObject<'_>,
    resource: &JsonResource,
    scope: &JsonScope,
    faults: &ValueFaults,
) -> Result<Span, Rejection> {
    let trace_id = id(span, "traceId").map_err(Rejection::Malformed)?;
    let span_id = id(span, "spanId").map_err(Rejection::Malformed)?;
    let (status, status_message) = status(span, faults);
    let events = readable_objects(span, "events", faults);
    let links = readable_objects(span, "links", faults);
    Ok(Span {
        trace_id: TraceId::from_slice(&trace_id).ok_or(Rejection::TraceId)?,
        span_id: SpanId::from_slice(&span_id).ok_or(Rejection::SpanId)?,
        parent_span_id: parent(span)?,
        name: text(span, "name", faults),
        kind: kind(span),
        status,
        status_message,
        start_unix_nano: unsigned(span, "startTimeUnixNano", faults),
        end_unix_nano: unsigned(span, "endTimeUnixNano", faults),
        trace_state: text(span, "traceState", faults),
        dropped_links_count: count(span, "droppedLinksCount", faults),
        flags: count(span, "flags", faults),
        attributes: attributes(span, faults),
        resource: Arc::clone(&resource.attributes),
        instrumentation: Arc::clone(&scope.instrumentation),
        events: events
            .into_iter()
            .map(|object| event(object, faults))
            .collect(),
        links: links
            .into_iter()
            .map(|object| link(object, faults))
            .collect(),
    })
}

fn count(span: &JsonObject<'_>, name: &str, faults: &ValueFaults) -> u32 {
    u32::try_from(unsigned(span, name, faults)).unwrap_or(u32::MAX)
}

fn event(event: &JsonObject<'_>, faults: &ValueFaults) -> Event {
    Event {
        name: text(event, "name", faults),
        time_unix_nano: unsigned(event, "timeUnixNano", faults),
        attributes: attributes(event, faults),
    }
}

/// Reads a link. One with a bad id is kept, since its attributes may still be needed.
fn link(link: &JsonObject<'_>, faults: &ValueFaults) -> Link {
    let bytes = |name| id(link, name).unwrap_or_default();
    Link {
        trace_id: TraceId::from_slice(&bytes("traceId")),
        span_id: SpanId::from_slice(&bytes("spanId")),
        trace_state: text(link, "traceState", faults),
        attributes: attributes(link, faults),
    }
}

/// Reads the kind: a number as OTLP demands, or a name as proto3's JSON writes it.
fn kind(span: &JsonObject<'_>) -> SpanKind {
    let name = enumeration(span, "kind");
    match name.strip_prefix("SPAN_KIND_").unwrap_or(name) {
        "1" | "INTERNAL" => SpanKind::Internal,
        "2" | "SERVER" => SpanKind::Server,
        "3" | "CLIENT" => SpanKind::Client,
        "4" | "PRODUCER" => SpanKind::Producer,
        "5" | "CONSUMER" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn status(span: &JsonObject<'_>, faults: &ValueFaults) -> (SpanStatus, String) {
    let Some(status) = readable_object(span, "status", faults) else {
        return (SpanStatus::Unset, String::new());
    };
    let name = enumeration(status, "code");
    let code = match name.strip_prefix("STATUS_CODE_").unwrap_or(name) {
        "1" | "OK" => SpanStatus::Ok,
        "2" | "ERROR" => SpanStatus::Error,
        _ => SpanStatus::Unset,
    };
    (code, text(status, "message", faults))
}

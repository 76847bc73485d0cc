//! Reads OTLP/JSON, tolerant of what senders really write; a span that makes no sense is refused
//! alone.
//!
//! This is not proto3's JSON: ids are hexadecimal. Beyond the specification it takes numbers where
//! strings are due and strings where numbers are, names of enumerations, ids as arrays of numbers,
//! and `null` as absent everywhere. Few send JSON, so it takes the ordinary way: a tree, then values.

mod fields;
#[cfg(test)]
mod same;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value as Json;

use self::fields::{Object, attributes, id, member, object, objects, parent, text, unsigned};
use super::{Malformed, Rejection};
use crate::domain::model::{
    ids::{SpanId, TraceId},
    span::{Event, Instrumentation, Link, Span, SpanAttributes, SpanKind, SpanStatus, SpanView},
};

/// The most memory that the tree of `body` can take.
///
/// A value follows each of these characters, or ends there: `[0,0,0,...` takes 36 times its length.
/// Those inside of strings are counted too, which errs on the safe side.
pub fn footprint(body: &[u8]) -> usize {
    const BYTES_A_VALUE: usize = 80;

    let values = body
        .iter()
        .filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{'))
        .count();
    body.len() + values * BYTES_A_VALUE
}

/// Calls `each` with every span of the body, in order, or with why it can not be used.
pub fn read(
    body: &[u8],
    each: &mut dyn FnMut(Result<&dyn SpanView, Rejection>),
) -> Result<(), Malformed> {
    // Bounds the depth too: at 128 levels it refuses.
    let request: Json =
        serde_json::from_slice(body).map_err(|error| Malformed::Json(error.to_string()))?;
    read_request(&request, each).map_err(Malformed::Json)
}

type Each<'e> = dyn FnMut(Result<&dyn SpanView, Rejection>) + 'e;

fn read_request(request: &Json, each: &mut Each<'_>) -> Result<(), String> {
    let request = object(request, "the request")?;
    for resource_spans in objects(request, "resourceSpans")? {
        let resource_spans = resource_spans?;
        let resource = resource(resource_spans);
        for scope_spans in objects(resource_spans, "scopeSpans")? {
            read_scope_spans(scope_spans?, &resource, each)?;
        }
    }
    Ok(())
}

fn read_scope_spans(
    scope_spans: &Object,
    resource: &Result<Arc<SpanAttributes>, String>,
    each: &mut Each<'_>,
) -> Result<(), String> {
    let shared = resource.clone().and_then(|resource| {
        let instrumentation = instrumentation(scope_spans)?;
        Ok((resource, instrumentation))
    });
    for span in objects(scope_spans, "spans")? {
        let span = match (&shared, span) {
            (Ok(shared), Ok(object)) => read_span(object, shared),
            (Err(problem), _) => Err(Rejection::Malformed(problem.clone())),
            (_, Err(problem)) => Err(Rejection::Malformed(problem)),
        };
        match span {
            Ok(span) => each(Ok(&span)),
            Err(refusal) => each(Err(refusal)),
        }
    }
    Ok(())
}

/// What the spans of one scope share.
type Shared = (Arc<SpanAttributes>, Arc<Instrumentation>);

fn resource(resource_spans: &Object) -> Result<Arc<SpanAttributes>, String> {
    let Some(resource) = member(resource_spans, "resource") else {
        return Ok(Arc::default());
    };
    attributes(object(resource, "resource")?).map(Arc::new)
}

fn instrumentation(scope_spans: &Object) -> Result<Arc<Instrumentation>, String> {
    let Some(scope) = member(scope_spans, "scope") else {
        return Ok(Arc::default());
    };
    let scope = object(scope, "scope")?;
    Ok(Arc::new(Instrumentation {
        name: text(scope, "name")?,
        version: text(scope, "version")?,
        attributes: attributes(scope)?,
    }))
}

fn read_span(span: &Object, (resource, instrumentation): &Shared) -> Result<Span, Rejection> {
    let trace_id = id(span, "traceId").map_err(Rejection::Malformed)?;
    let span_id = id(span, "spanId").map_err(Rejection::Malformed)?;
    let ids = (
        TraceId::from_slice(&trace_id).ok_or(Rejection::TraceId)?,
        SpanId::from_slice(&span_id).ok_or(Rejection::SpanId)?,
    );
    let parent_span_id = parent(span)?;
    let rest = || -> Result<Span, String> {
        let (status, status_message) = status(span)?;
        Ok(Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id,
            name: text(span, "name")?,
            kind: kind(span),
            status,
            status_message,
            start_unix_nano: unsigned(span, "startTimeUnixNano")?,
            end_unix_nano: unsigned(span, "endTimeUnixNano")?,
            trace_state: text(span, "traceState")?,
            dropped_links_count: count(span, "droppedLinksCount"),
            flags: count(span, "flags"),
            attributes: attributes(span)?,
            resource: Arc::clone(resource),
            instrumentation: Arc::clone(instrumentation),
            events: objects(span, "events")?
                .map(|object| event(object?))
                .collect::<Result<_, _>>()?,
            links: objects(span, "links")?
                .map(|object| link(object?))
                .collect::<Result<_, _>>()?,
        })
    };
    rest().map_err(Rejection::Malformed)
}

/// A span is not refused for a count that cannot be read: it is about what the span lacks.
fn count(span: &Object, name: &str) -> u32 {
    let count = unsigned(span, name).unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn event(event: &Object) -> Result<Event, String> {
    Ok(Event {
        name: text(event, "name")?,
        time_unix_nano: unsigned(event, "timeUnixNano")?,
        attributes: attributes(event)?,
    })
}

/// A link with a bad id is kept: what its attributes say may still be asked for.
fn link(link: &Object) -> Result<Link, String> {
    let bytes = |name| id(link, name).unwrap_or_default();
    Ok(Link {
        trace_id: TraceId::from_slice(&bytes("traceId")),
        span_id: SpanId::from_slice(&bytes("spanId")),
        trace_state: text(link, "traceState")?,
        attributes: attributes(link)?,
    })
}

/// Numbers are what OTLP asks for; names are what proto3's own JSON writes.
fn kind(span: &Object) -> SpanKind {
    let name = fields::enumeration(span, "kind");
    match name.strip_prefix("SPAN_KIND_").unwrap_or(&name) {
        "1" | "INTERNAL" => SpanKind::Internal,
        "2" | "SERVER" => SpanKind::Server,
        "3" | "CLIENT" => SpanKind::Client,
        "4" | "PRODUCER" => SpanKind::Producer,
        "5" | "CONSUMER" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn status(span: &Object) -> Result<(SpanStatus, String), String> {
    let Some(status) = member(span, "status") else {
        return Ok((SpanStatus::Unset, String::new()));
    };
    let status = object(status, "status")?;
    let name = fields::enumeration(status, "code");
    let code = match name.strip_prefix("STATUS_CODE_").unwrap_or(&name) {
        "1" | "OK" => SpanStatus::Ok,
        "2" | "ERROR" => SpanStatus::Error,
        _ => SpanStatus::Unset,
    };
    Ok((code, text(status, "message")?))
}

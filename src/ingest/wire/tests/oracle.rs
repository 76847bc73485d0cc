//! Reads the same body twice: by the scan, and by prost into the messages of opentelemetry-proto.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{Span, span},
};
use prost::Message as _;

use crate::{
    domain::{
        model::{
            ids::{SpanId, TraceId},
            span::{AttributeScope, SpanView, Value},
        },
        traceql::KeyFilter,
    },
    ingest::{MalformedProtobuf, Rejection, wire::scan},
};

/// Attributes by key, as text: `Debug` distinguishes all values, and makes NaN equal to NaN, as
/// needed here.
type Attributes = BTreeMap<String, String>;

/// Everything that can be read of a span.
#[derive(Debug, PartialEq)]
pub(in crate::ingest) struct SpanAnswers {
    ids: (TraceId, SpanId, Option<SpanId>),
    texts: [String; 5],
    kind: String,
    status: String,
    times: (u64, u64),
    pub(super) attributes: Attributes,
    pub(super) resource: Attributes,
    any_scope: Attributes,
    instrumentation: Attributes,
    events: Vec<(String, u64, Attributes)>,
    links: Vec<(Option<TraceId>, Option<SpanId>, String, Attributes)>,
    dropped_links: u32,
    has_random_trace_id: bool,
}

/// Every key that the generator writes, and some that it does not.
pub(super) const KEYS: [&str; 8] = [
    "",
    "a",
    "b",
    "service.name",
    "größe",
    "deep",
    "indexed",
    "plain",
];

pub(super) fn by_scan(
    body: &[u8],
    asked_keys: &KeyFilter,
) -> Result<Vec<Result<SpanAnswers, Rejection>>, MalformedProtobuf> {
    let mut seen = Vec::new();
    scan(body, asked_keys, &mut |span| seen.push(span.map(see)))?;
    Ok(seen)
}

pub(in crate::ingest) fn see(span: &dyn SpanView) -> SpanAnswers {
    let all = |scope| ask(|key| span.attribute(scope, key));
    let (mut events, mut links) = (Vec::new(), Vec::new());
    span.any_event(&mut |event| {
        let attributes = ask(|key| event.attribute(key));
        events.push((event.name().to_owned(), event.time_unix_nano(), attributes));
        false
    });
    span.any_link(&mut |link| {
        let attributes = ask(|key| link.attribute(key));
        let trace_state = link.trace_state().to_owned();
        links.push((link.trace_id(), link.span_id(), trace_state, attributes));
        false
    });
    SpanAnswers {
        ids: (span.trace_id(), span.span_id(), span.parent_span_id()),
        texts: [
            span.name(),
            span.status_message(),
            span.trace_state(),
            span.instrumentation_name(),
            span.instrumentation_version(),
        ]
        .map(str::to_owned),
        kind: format!("{:?}", span.kind()),
        status: format!("{:?}", span.status()),
        times: (span.start_unix_nano(), span.end_unix_nano()),
        attributes: all(AttributeScope::Span),
        resource: all(AttributeScope::Resource),
        any_scope: all(AttributeScope::Any),
        instrumentation: all(AttributeScope::Instrumentation),
        events,
        links,
        dropped_links: span.dropped_links_count(),
        has_random_trace_id: span.has_random_trace_id(),
    }
}

fn ask<'a>(attribute: impl Fn(&str) -> Option<Value<'a>>) -> Attributes {
    KEYS.iter()
        .filter_map(|key| Some(((*key).to_owned(), format!("{:?}", attribute(key)?))))
        .collect()
}

pub(in crate::ingest) fn by_prost(
    body: &[u8],
) -> Result<Vec<Result<SpanAnswers, Rejection>>, prost::DecodeError> {
    let request = ExportTraceServiceRequest::decode(body)?;
    let mut seen = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.unwrap_or_default();
            for span in scope_spans.spans {
                seen.push(expect(span, &resource, &scope));
            }
        }
    }
    Ok(seen)
}

fn expect(
    span: Span,
    resource: &Resource,
    scope: &InstrumentationScope,
) -> Result<SpanAnswers, Rejection> {
    let status = span.status.clone().unwrap_or_default();
    if ![0, 8].contains(&span.parent_span_id.len()) {
        // The ids are checked first.
        TraceId::from_slice(&span.trace_id).ok_or(Rejection::TraceId)?;
        SpanId::from_slice(&span.span_id).ok_or(Rejection::SpanId)?;
        return Err(Rejection::ParentSpanId);
    }
    let mut any_scope = map(&scope.attributes);
    any_scope.extend(map(&resource.attributes));
    any_scope.extend(map(&span.attributes));
    Ok(SpanAnswers {
        ids: (
            TraceId::from_slice(&span.trace_id).ok_or(Rejection::TraceId)?,
            SpanId::from_slice(&span.span_id).ok_or(Rejection::SpanId)?,
            SpanId::from_slice(&span.parent_span_id),
        ),
        kind: format!("{:?}", span.kind()),
        status: format!("{:?}", status.code()),
        texts: [
            span.name,
            status.message,
            span.trace_state,
            scope.name.clone(),
            scope.version.clone(),
        ],
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        attributes: map(&span.attributes),
        resource: map(&resource.attributes),
        any_scope,
        instrumentation: map(&scope.attributes),
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().map(link).collect(),
        dropped_links: span.dropped_links_count,
        has_random_trace_id: span.flags & 2 == 2,
    })
}

fn event(event: span::Event) -> (String, u64, Attributes) {
    (event.name, event.time_unix_nano, map(&event.attributes))
}

fn link(link: span::Link) -> (Option<TraceId>, Option<SpanId>, String, Attributes) {
    (
        TraceId::from_slice(&link.trace_id),
        SpanId::from_slice(&link.span_id),
        link.trace_state,
        map(&link.attributes),
    )
}

fn map(attributes: &[KeyValue]) -> Attributes {
    let mut map = Attributes::new();
    for attribute in attributes {
        let value = attribute.value.as_ref().and_then(expected);
        if let Some(value) = value {
            map.insert(attribute.key.clone(), format!("{value:?}"));
        } else {
            // The last one counts, even if it has no value.
            map.remove(&attribute.key);
        }
    }
    map.retain(|key, _| KEYS.contains(&key.as_str()));
    map
}

fn expected(value: &AnyValue) -> Option<Value<'_>> {
    let any_value::Value::ArrayValue(array) = value.value.as_ref()? else {
        return scalar(value);
    };
    Value::of_elements(array.values.iter().map(scalar))
}

fn scalar(value: &AnyValue) -> Option<Value<'_>> {
    match value.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(Value::String(text.into())),
        any_value::Value::BoolValue(value) => Some(Value::Bool(*value)),
        any_value::Value::IntValue(value) => Some(Value::Int(*value)),
        any_value::Value::DoubleValue(value) => Some(Value::Double(*value)),
        _ => None,
    }
}

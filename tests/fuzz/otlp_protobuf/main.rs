//! What opentelemetry-proto reads is read here too, with as many spans and the same attributes,
//! whichever of them every span is asked for; and everything about them can be asked.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
};
use prost::Message as _;
use throughline::{
    domain::{
        model::span::{AttributeScope, Value},
        traceql::KeyFilter,
    },
    ingest::wire,
};

/// The texts, by key: the last of equal keys counts.
fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, Option<&str>> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.as_str(), text(attribute)))
        .collect()
}

fn text(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fuzz_target!(|body: &[u8]| {
    let request = ExportTraceServiceRequest::decode(body);
    let spans: Vec<_> = request.iter().flat_map(|request| &request.resource_spans).collect();
    let spans: Vec<_> = spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .map(|span| texts(&span.attributes))
        .collect();
    // Every other key is asked of every span, the rest is looked up.
    let keys = spans.iter().flat_map(BTreeMap::keys).copied();
    let asked_keys = KeyFilter::new(keys.step_by(2));
    let mut expected = spans.iter();
    let read = wire::scan(body, &asked_keys, &mut |span| {
        let expected = expected.next();
        let Ok(span) = span else { return };
        span.each_attribute(&mut |_, _, _| {});
        span.any_event(&mut |event| event.name().is_empty());
        span.any_link(&mut |link| link.trace_state().is_empty());
        for (key, text) in expected.into_iter().flatten() {
            let value = span.attribute(AttributeScope::Span, key);
            let read = match &value {
                Some(Value::String(text)) => Some(text.as_ref()),
                _ => None,
            };
            // An array of one text is that text.
            assert!(read == *text || text.is_none(), "{key}: {value:?}");
        }
    });
    if request.is_ok() {
        read.expect("what prost reads is not refused");
        assert!(expected.next().is_none(), "every span is read");
    }
});

//! What opentelemetry-proto reads is read here too, with as many spans, and everything about them can be asked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use throughline::ingest::wire;

fuzz_target!(|body: &[u8]| {
    let mut spans = 0;
    let read = wire::scan(body, &mut |span| {
        spans += 1;
        if let Ok(span) = span {
            span.each_attribute(&mut |_, _, _| {});
            span.any_event(&mut |event| event.name().is_empty());
            span.any_link(&mut |link| link.trace_state().is_empty());
        }
    });
    if let Ok(request) = ExportTraceServiceRequest::decode(body) {
        read.expect("what prost reads is not refused");
        let scopes = request
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans);
        let expected: usize = scopes.map(|scope| scope.spans.len()).sum();
        assert_eq!(spans, expected);
    }
});

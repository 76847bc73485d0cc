//! Tests that the same request in both formats gives the same spans and the same rejections.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::read;
use crate::ingest::{
    Rejection,
    wire::tests::{
        generate,
        oracle::{SpanAnswers, by_prost, see},
    },
};

fn by_json(body: &[u8]) -> Vec<Result<SpanAnswers, Rejection>> {
    let mut seen = Vec::new();
    read(body, &mut |span| seen.push(span.map(see))).unwrap();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_is_read_as_protobuf_is(choices in prop::collection::vec(any::<u8>(), 0..1_000)) {
        let body = generate::request(&choices);
        // A request that protobuf rejects as a whole cannot be written as JSON.
        if let (Ok(expected), Ok(request)) = (
            by_prost(&body),
            ExportTraceServiceRequest::decode(body.as_slice()),
        ) {
            let json = serde_json::to_vec(&request).unwrap();
            prop_assert_eq!(by_json(&json), expected);
        }
    }
}

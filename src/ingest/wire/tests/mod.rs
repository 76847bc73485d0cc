//! The scan against prost: the same spans, the same fields, the same refusals, whatever the bytes.

pub(in crate::ingest) mod generate;
pub(in crate::ingest) mod oracle;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use proptest::prelude::*;
use prost::Message as _;

use self::oracle::{SpanAnswers, by_prost, by_scan};
use super::scan;
use crate::ingest::{Malformed, Rejection};

fn compare(body: &[u8]) -> Result<(), TestCaseError> {
    match (by_prost(body), by_scan(body)) {
        (Ok(expected), Ok(seen)) => prop_assert_eq!(seen, expected),
        (Ok(_), Err(refusal)) => prop_assert!(false, "only the scan refuses: {refusal}"),
        (Err(refusal), Ok(_)) => prop_assert!(
            refusal.to_string().contains("UTF-8"),
            "only prost refuses: {refusal}"
        ),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_body_is_read_as_prost_reads_it(choices in prop::collection::vec(any::<u8>(), 0..2_000)) {
        compare(&generate::request(&choices))?;
    }

    #[test]
    fn a_damaged_body_is_read_or_refused_as_prost_does(
        choices in prop::collection::vec(any::<u8>(), 0..600),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = generate::request(&choices);
        if !body.is_empty() {
            for (at, byte) in flips {
                let at = at.index(body.len());
                body[at] = byte;
            }
            compare(&body)?;
            body.truncate(length.index(body.len()));
        }
        compare(&body)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused_as_prost_does(body in prop::collection::vec(any::<u8>(), 0..64)) {
        compare(&body)?;
    }
}

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        ..Span::default()
    }
}

fn body(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn names(body: &[u8]) -> Result<Vec<Result<String, Rejection>>, Malformed> {
    let mut names = Vec::new();
    scan(body, &mut |span| {
        names.push(span.map(|span| span.name().to_owned()));
    })?;
    Ok(names)
}

#[test]
fn the_generator_makes_many_bodies_that_are_accepted_with_spans_in_them() {
    let mut random = 1_u32;
    let accepted = (0..200)
        .filter(|_| {
            let choices: Vec<u8> = std::iter::repeat_with(|| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                random.to_be_bytes()[0]
            })
            .take(1_000)
            .collect();
            by_scan(&generate::request(&choices)).is_ok_and(|spans| spans.iter().any(Result::is_ok))
        })
        .count();
    assert!(accepted > 40, "{accepted} of 200");
}

#[test]
fn spans_with_bad_ids_are_refused_alone() {
    let spans = vec![
        span("good"),
        Span {
            trace_id: vec![0; 16],
            ..span("zero trace id")
        },
        Span {
            trace_id: vec![1; 15],
            ..span("short trace id")
        },
        Span {
            span_id: vec![],
            ..span("no span id")
        },
        Span {
            parent_span_id: vec![1; 3],
            ..span("short parent")
        },
        Span {
            parent_span_id: vec![0; 8],
            ..span("zero parent")
        },
    ];
    assert_eq!(
        names(&body(spans)).unwrap(),
        [
            Ok("good".to_owned()),
            Err(Rejection::TraceId),
            Err(Rejection::TraceId),
            Err(Rejection::SpanId),
            Err(Rejection::ParentSpanId),
            Ok("zero parent".to_owned()),
        ]
    );
}

#[test]
fn text_that_is_not_utf8_spoils_its_own_span_only() {
    let mut bytes = body(vec![span("first"), span("secand"), span("third")]);
    let at = bytes
        .windows(6)
        .position(|window| window == b"secand")
        .unwrap();
    bytes[at] = 0xff;
    let field = "the name";
    assert_eq!(
        names(&bytes).unwrap(),
        [
            Ok("first".to_owned()),
            Err(Rejection::NotUtf8 { field }),
            Ok("third".to_owned())
        ]
    );
}

#[test]
fn a_resource_behind_its_spans_is_theirs() {
    let spans = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: vec![span("early")],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let late = ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", "late")],
            ..Resource::default()
        }),
        ..ResourceSpans::default()
    };
    let inner = [spans.encode_to_vec(), late.encode_to_vec()].concat();
    let mut bytes = vec![0x0a, u8::try_from(inner.len()).unwrap()];
    bytes.extend(inner);
    let seen = by_scan(&bytes).unwrap();
    let Ok(SpanAnswers { resource, .. }) = &seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!(resource["service.name"], r#"String("late")"#);
}

fn text(key: &str, value: &str) -> KeyValue {
    with_value(key, any_value::Value::StringValue(value.to_owned()))
}

fn with_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A span whose only attribute is `innermost` in `levels` arrays or maps.
fn nested(
    levels: usize,
    innermost: any_value::Value,
    wrap: fn(any_value::Value) -> any_value::Value,
) -> Span {
    let value = (0..levels).fold(innermost, |value, _| wrap(value));
    Span {
        attributes: vec![with_value("deep", value)],
        ..span("deep")
    }
}

fn in_array(value: any_value::Value) -> any_value::Value {
    let values = vec![AnyValue { value: Some(value) }];
    any_value::Value::ArrayValue(ArrayValue { values })
}

fn in_map(value: any_value::Value) -> any_value::Value {
    let values = vec![with_value("a", value)];
    any_value::Value::KvlistValue(KeyValueList { values })
}

#[test]
fn nesting_is_refused_at_the_depth_where_prost_refuses_it() {
    let number = any_value::Value::IntValue(1);
    let string = any_value::Value::StringValue("plain".to_owned());
    for (innermost, wrap) in [
        (&number, in_array as fn(_) -> _),
        (&string, in_array),
        (&number, in_map),
        (&string, in_map),
    ] {
        let accepted = |levels| {
            let body = body(vec![nested(levels, innermost.clone(), wrap)]);
            let by_prost = ExportTraceServiceRequest::decode(body.as_slice()).is_ok();
            assert_eq!(
                names(&body).is_ok(),
                by_prost,
                "{levels} levels around {innermost:?}"
            );
            by_prost
        };
        let deepest = (0..100).filter(|&levels| accepted(levels)).max().unwrap();
        assert!((30..50).contains(&deepest), "{deepest}");
    }
    let too_deep = nested(60, number, in_array);
    assert_eq!(names(&body(vec![too_deep])), Err(Malformed::TooDeep));
}

#[test]
fn a_string_given_as_an_index_is_absent_and_not_fatal() {
    let by_index = any_value::Value::StringValueStrindex(7);
    let attributes = vec![with_value("indexed", by_index), text("plain", "text")];
    let seen = by_scan(&body(vec![Span {
        attributes,
        ..span("profiled")
    }]))
    .unwrap();
    let Ok(SpanAnswers { attributes, .. }) = &seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!(attributes.get("indexed"), None);
    assert_eq!(attributes["plain"], r#"String("text")"#);
}

#[test]
fn an_empty_body_and_empty_envelopes_hold_no_spans() {
    assert_eq!(names(&[]).unwrap(), []);
    assert_eq!(names(&body(vec![])).unwrap(), []);
    let envelope = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans::default()],
    };
    assert_eq!(names(&envelope.encode_to_vec()).unwrap(), []);
}

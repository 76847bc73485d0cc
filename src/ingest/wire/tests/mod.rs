//! Tests the scan against prost: it reads everything that prost reads in the same way, and never
//! rejects more.
//!
//! It rejects less on purpose. Prost rejects a request for one invalid value anywhere in it. Here a
//! fault costs only the value or the span that it is in; only a fault in the messages around spans
//! costs the request.

mod asked;
pub(in crate::ingest) mod generate;
pub(in crate::ingest) mod oracle;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event},
};
use proptest::prelude::*;
use prost::Message as _;

use self::oracle::{KEYS, SpanAnswers, by_prost, by_scan};
use super::scan;
use crate::{
    domain::{
        model::span::{AttributeScope, SpanView},
        traceql::KeyFilter,
    },
    ingest::{MalformedProtobuf, Rejection},
};

/// Compares both readers. The answers must not depend on the keys that every span is asked for.
fn compare(body: &[u8]) -> Result<(), TestCaseError> {
    let some = KeyFilter::new(["a", "service.name"]);
    let expected = by_prost(body);
    for asked_keys in [KeyFilter::default(), some, KeyFilter::new(KEYS)] {
        match (&expected, by_scan(body, &asked_keys)) {
            (Ok(expected), Ok(seen)) => prop_assert_eq!(&seen, expected),
            (Ok(_), Err(refusal)) => prop_assert!(false, "only the scan refuses: {refusal}"),
            // A fault in a value or in a span that only prost rejects, or one in the request that
            // both reject.
            (Err(_), Ok(_) | Err(_)) => {}
        }
    }
    Ok(())
}

/// Reads the spans if none of their attributes is asked for in advance.
fn read(body: &[u8]) -> Result<Vec<Result<SpanAnswers, Rejection>>, MalformedProtobuf> {
    by_scan(body, &KeyFilter::default())
}

/// Makes a request with these encoded spans, each in a `ScopeSpans` of the same resource.
fn enclose(spans: &[Vec<u8>]) -> Vec<u8> {
    let delimited = |tag: u8, content: &[u8]| {
        let mut field = vec![tag << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut field);
        [field, content.to_vec()].concat()
    };
    let scope_spans: Vec<_> = spans.iter().map(|span| delimited(2, span)).collect();
    let resource_spans = delimited(2, &scope_spans.concat());
    delimited(1, &resource_spans)
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
    fn a_damaged_span_changes_nothing_of_its_neighbours(
        damaged in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let whole = span("neighbour").encode_to_vec();
        let seen = read(&enclose(&[whole.clone(), damaged, whole.clone()])).unwrap();
        let alone = read(&enclose(&[whole])).unwrap();
        prop_assert_eq!(seen.len(), 3);
        prop_assert_eq!((&seen[0], &seen[2]), (&alone[0], &alone[0]));
    }

    #[test]
    fn a_damaged_attribute_changes_nothing_of_its_span(
        damaged in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = Span { attributes: vec![text("a", "1")], ..span("kept") }.encode_to_vec();
        bytes.extend([9 << 3 | 2, u8::try_from(damaged.len()).unwrap()]);
        bytes.extend(&damaged);
        bytes.extend(Span { attributes: vec![text("b", "2")], ..Span::default() }.encode_to_vec());
        let seen = read(&enclose(&[bytes])).unwrap();
        let Ok(SpanAnswers { attributes, .. }) = &seen[0] else {
            panic!("{seen:?}")
        };
        // The damaged attribute may be read as another `a`, which would count.
        prop_assert_eq!(attributes["b"].as_str(), r#"String("2")"#);
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
    body_of(Vec::new(), spans)
}

fn body_of(attributes: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        resource: Some(Resource {
            attributes,
            ..Resource::default()
        }),
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn names(body: &[u8]) -> Result<Vec<Result<String, Rejection>>, MalformedProtobuf> {
    let mut names = Vec::new();
    scan(body, &KeyFilter::default(), &mut |span| {
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
            read(&generate::request(&choices)).is_ok_and(|spans| spans.iter().any(Result::is_ok))
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

fn faults(body: &[u8], ask: impl Fn(&dyn SpanView)) -> Vec<(&'static str, u64)> {
    let with_faults = scan(body, &KeyFilter::default(), &mut |span| ask(span.unwrap())).unwrap();
    let all = with_faults.iter().filter(|(_, spans)| *spans > 0);
    all.map(|(fault, spans)| (fault.as_label(), spans))
        .collect()
}

#[test]
fn text_that_is_not_utf8_is_repaired_and_costs_no_span() {
    let mut bytes = body(vec![span("first"), span("secand"), span("third")]);
    let at = bytes
        .windows(6)
        .position(|window| window == b"secand")
        .unwrap();
    bytes[at] = 0xff;
    assert_eq!(
        names(&bytes).unwrap(),
        ["first", "\u{fffd}ecand", "third"].map(|name| Ok(name.to_owned()))
    );
    assert_eq!(faults(&bytes, |_| ()), []);
    let ask = |span: &dyn SpanView| assert!(!span.name().is_empty());
    assert_eq!(faults(&bytes, ask), [("not_utf8", 1)]);
}

#[test]
fn what_nobody_asks_for_is_not_looked_at() {
    let mut bytes = body(vec![Span {
        attributes: vec![text("dirty", "badtext"), text("clean", "text")],
        status: Some(Status {
            message: "badtext".to_owned(),
            ..Status::default()
        }),
        events: vec![Event {
            name: "badtext".to_owned(),
            attributes: vec![text("dirty", "badtext")],
            ..Event::default()
        }],
        ..span("span")
    }]);
    while let Some(at) = bytes.windows(7).position(|window| window == b"badtext") {
        bytes[at..at + 2].copy_from_slice(b"\xff\xfe");
    }
    let of_span =
        |span: &dyn SpanView, key: &str| format!("{:?}", span.attribute(AttributeScope::Any, key));
    let clean = |span: &dyn SpanView| {
        assert_eq!(of_span(span, "clean"), r#"Some(String("text"))"#);
        assert_eq!(of_span(span, "missing"), "None");
    };
    assert_eq!(faults(&bytes, clean), []);
    let dirty = |span: &dyn SpanView| {
        assert_eq!(
            of_span(span, "dirty"),
            "Some(String(\"\u{fffd}\u{fffd}dtext\"))"
        );
        // Read twice, counted once.
        of_span(span, "dirty");
    };
    assert_eq!(faults(&bytes, dirty), [("not_utf8", 1)]);
    let message = |span: &dyn SpanView| assert_eq!(span.status_message(), "\u{fffd}\u{fffd}dtext");
    assert_eq!(faults(&bytes, message), [("not_utf8", 1)]);
    let event = |span: &dyn SpanView| {
        assert!(span.any_event(&mut |event| event.name() == "\u{fffd}\u{fffd}dtext"));
    };
    assert_eq!(faults(&bytes, event), [("not_utf8", 1)]);
}

#[test]
fn a_dirty_resource_is_counted_for_each_of_its_spans() {
    let attributes = vec![text("service.name", "badtext")];
    let mut bytes = body_of(attributes, vec![span("one"), span("two")]);
    let at = bytes
        .windows(7)
        .position(|window| window == b"badtext")
        .unwrap();
    bytes[at] = 0xff;
    let ask = |span: &dyn SpanView| {
        let service = span.attribute(AttributeScope::Resource, "service.name");
        assert_eq!(format!("{service:?}"), "Some(String(\"\u{fffd}adtext\"))");
    };
    assert_eq!(faults(&bytes, ask), [("not_utf8", 2)]);
}

#[test]
fn a_value_that_cannot_be_read_is_absent_and_counted() {
    // A string that announces more bytes than there are.
    let key_value = [0x0a, 1, b'a', 0x12, 2, 0x0a, 9];
    let mut bytes = span("span").encode_to_vec();
    bytes.extend([9 << 3 | 2, u8::try_from(key_value.len()).unwrap()]);
    bytes.extend(key_value);
    let ask = |span: &dyn SpanView| {
        assert_eq!(span.attribute(AttributeScope::Span, "a"), None);
    };
    assert_eq!(faults(&enclose(&[bytes]), ask), [("malformed", 1)]);
}

#[test]
fn a_span_whose_fields_cannot_be_told_apart_is_refused_alone() {
    let whole = span("whole").encode_to_vec();
    let mut broken = span("broken").encode_to_vec();
    // A field of the wrong type.
    broken.extend([5 << 3, 7]);
    let seen = names(&enclose(&[whole, broken])).unwrap();
    assert_eq!(
        seen,
        [
            Ok("whole".to_owned()),
            Err(Rejection::Malformed(
                "a field has the wrong type".to_owned()
            ))
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
    let seen = read(&bytes).unwrap();
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

/// Makes a span whose only attribute is `innermost` in `levels` arrays or maps.
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
fn a_value_may_be_nested_without_end() {
    for wrap in [in_array as fn(_) -> _, in_map] {
        let deep = nested(60, any_value::Value::IntValue(1), wrap);
        let bytes = body(vec![deep]);
        assert!(ExportTraceServiceRequest::decode(bytes.as_slice()).is_err());
        let ask = |span: &dyn SpanView| {
            assert_eq!(span.attribute(AttributeScope::Span, "deep"), None);
        };
        assert_eq!(faults(&bytes, ask), []);
    }
}

#[test]
fn a_string_given_as_an_index_is_absent_and_not_fatal() {
    let by_index = any_value::Value::StringValueStrindex(7);
    let attributes = vec![with_value("indexed", by_index), text("plain", "text")];
    let seen = read(&body(vec![Span {
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

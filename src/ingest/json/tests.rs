//! Tests of what OTLP/JSON senders write, right and wrong.

use serde_json::{Value as Json, json};

use super::{footprint, read, tree::JsonTree};
use crate::{
    domain::model::span::{AttributeScope, SpanKind, SpanStatus, SpanView, Value},
    ingest::{Malformed, Rejection},
};

fn minimal() -> Json {
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"})
}

fn with(name: &str, value: Json) -> Json {
    let mut span = minimal();
    span[name] = value;
    span
}

fn with_value(value: &Json) -> Json {
    with("attributes", json!([{"key": "a", "value": value}]))
}

fn request(spans: &[Json]) -> Vec<u8> {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into_bytes()
}

/// Returns the result of `ask` for each span of the body.
fn all<T>(
    body: &[u8],
    ask: impl Fn(&dyn SpanView) -> T,
) -> Result<Vec<Result<T, Rejection>>, Malformed> {
    let mut answers = Vec::new();
    read(body, &mut |span| answers.push(span.map(&ask)))?;
    Ok(answers)
}

fn one<T>(span: Json, ask: impl Fn(&dyn SpanView) -> T) -> Result<T, Rejection> {
    all(&request(&[span]), ask).unwrap().pop().unwrap()
}

fn value_of_a(value: &Json) -> String {
    one(with_value(value), |span| {
        let value = span.attribute(AttributeScope::Span, "a");
        value.map_or("no value".to_owned(), |value| format!("{value:?}"))
    })
    .unwrap()
}

#[test]
fn a_whole_span_is_read() {
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{
            "scope": {"name": "lib", "version": "1.2", "attributes": []},
            "spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "EEE19B7EC3C1B174",
                "parentSpanId": "eee19b7ec3c1b173",
                "traceState": "a=b",
                "name": "publish",
                "kind": 4,
                "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1_544_712_661_000_000_000_u64,
                "status": {"code": 2, "message": "no"},
                "attributes": [{"key": "n", "value": {"intValue": "7"}}],
                "events": [{"name": "retry", "timeUnixNano": "5", "attributes": []}],
                "links": [{"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "EEE19B7EC3C1B175"}],
            }],
        }],
    }]});
    let checked = all(body.to_string().as_bytes(), |span| {
        assert_eq!(
            span.trace_id().to_string(),
            "5b8efff798038103d269b633813fc60c"
        );
        assert_eq!(span.span_id().to_string(), "eee19b7ec3c1b174");
        assert_eq!(
            span.parent_span_id().unwrap().to_string(),
            "eee19b7ec3c1b173"
        );
        assert_eq!((span.name(), span.trace_state()), ("publish", "a=b"));
        assert_eq!(
            (span.kind(), span.status()),
            (SpanKind::Producer, SpanStatus::Error)
        );
        assert_eq!(span.status_message(), "no");
        assert_eq!(span.start_unix_nano(), 1_544_712_660_000_000_000);
        assert_eq!(span.end_unix_nano(), 1_544_712_661_000_000_000);
        assert_eq!(
            (span.instrumentation_name(), span.instrumentation_version()),
            ("lib", "1.2")
        );
        let service = span.attribute(AttributeScope::Any, "service.name");
        assert_eq!(service, Some(Value::String("shop".into())));
        assert_eq!(
            span.attribute(AttributeScope::Span, "n"),
            Some(Value::Int(7))
        );
        assert!(
            span.any_event(&mut |event| event.name() == "retry" && event.time_unix_nano() == 5)
        );
        assert!(span.any_link(&mut |link| link.trace_id().is_some() && link.span_id().is_some()));
    });
    assert_eq!(checked.unwrap(), [Ok(())]);
}

#[test]
fn enumerations_are_numbers_or_names() {
    for kind in [json!(2), json!("SPAN_KIND_SERVER"), json!("2")] {
        assert_eq!(
            one(with("kind", kind), |span| span.kind()).unwrap(),
            SpanKind::Server
        );
    }
    for kind in [json!(77), json!("SPAN_KIND_NEW"), json!(null)] {
        assert_eq!(
            one(with("kind", kind), |span| span.kind()).unwrap(),
            SpanKind::Unspecified
        );
    }
    for code in [json!(2), json!("STATUS_CODE_ERROR")] {
        let status = with("status", json!({ "code": code }));
        assert_eq!(
            one(status, |span| span.status()).unwrap(),
            SpanStatus::Error
        );
    }
}

#[test]
fn whole_numbers_are_strings_or_numbers_and_overflow_is_not_fatal() {
    assert_eq!(value_of_a(&json!({"intValue": "-5"})), "Int(-5)");
    assert_eq!(value_of_a(&json!({"intValue": -5})), "Int(-5)");
    assert_eq!(value_of_a(&json!({"intValue": 1e3})), "Int(1000)");
    assert_eq!(value_of_a(&json!({"intValue": -1e3})), "Int(-1000)");
    assert_eq!(value_of_a(&json!({"intValue": 1e21})), "Double(1e21)");
    assert_eq!(value_of_a(&json!({"intValue": "1e21"})), "Double(1e21)");
    assert_eq!(
        value_of_a(&json!({"intValue": u64::MAX})),
        "Double(1.8446744073709552e19)"
    );
    let body = String::from_utf8(request(&[with_value(&json!({"intValue": 1}))])).unwrap();
    let body = body.replace(r#""intValue":1"#, r#""intValue":1e+21"#);
    assert!(all(body.as_bytes(), |_| ()).unwrap()[0].is_ok());
    let start = |value| {
        one(with("startTimeUnixNano", value), |span| {
            span.start_unix_nano()
        })
    };
    assert_eq!(start(json!(1.5e18)), Ok(1_500_000_000_000_000_000));
    assert_eq!(start(json!("7")), Ok(7));
    for absent in [json!(-1), json!("soon"), json!(1e30)] {
        assert_eq!(start(absent), Ok(0));
    }
}

/// Returns the faults of the spans of `body`, each of which is used.
fn faults(body: &[u8]) -> Vec<(&'static str, u64)> {
    let report = read(body, &mut |span| assert!(span.is_ok())).unwrap();
    let all = report.with_faults.iter().filter(|(_, spans)| *spans > 0);
    all.map(|(fault, spans)| (fault.as_label(), spans))
        .collect()
}

#[test]
fn s42_one_bad_value_among_five_good_spans_costs_neither() {
    let deep = format!(
        r#"{{"kvlistValue":{}7{}}}"#,
        r#"{"values":[{"key":"a","value":{"kvlistValue":"#.repeat(40),
        "}}]}".repeat(40)
    );
    let bad: [(&[u8], _, _); 8] = [
        (
            br#"{"stringValue":"half \ud83d"}"#,
            "not_utf8",
            "String(\"half \u{fffd}\")",
        ),
        (
            b"{\"stringValue\":\"caf\xe9\"}",
            "not_utf8",
            "String(\"caf\u{fffd}\")",
        ),
        (br#"{"doubleValue":1e400}"#, "not_a_number", "no value"),
        (br#"{"intValue":1e999}"#, "not_a_number", "no value"),
        (br#"{"intValue":"many"}"#, "not_a_number", "no value"),
        (deep.as_bytes(), "too_deep", "no value"),
        (br#"{"stringValue":7}"#, "malformed", "no value"),
        (br#""text""#, "malformed", "no value"),
    ];
    for (value, fault, expected) in bad {
        let mut spans = vec![minimal(); 5];
        spans.insert(2, with_value(&json!("HERE")));
        let body = request(&spans);
        let at = body
            .windows(6)
            .position(|window| window == b"\"HERE\"")
            .unwrap();
        let body = [&body[..at], value, &body[at + 6..]].concat();
        let read = all(&body, |span| {
            let value = span.attribute(AttributeScope::Span, "a");
            value.map_or("no value".to_owned(), |value| format!("{value:?}"))
        });
        let read = read.unwrap();
        assert_eq!(read.len(), 6);
        assert_eq!(read[2], Ok(expected.to_owned()));
        let wanted: &[_] = if fault == "too_deep" {
            &[]
        } else {
            &[(fault, 1)]
        };
        assert_eq!(faults(&body), wanted, "{expected}");
    }
}

#[test]
fn null_is_absent_and_unknown_names_are_ignored() {
    let mut span = with("name", json!(null));
    for name in [
        "kind",
        "status",
        "attributes",
        "events",
        "links",
        "parentSpanId",
        "traceState",
    ] {
        span[name] = json!(null);
    }
    span["startTimeUnixNano"] = json!(null);
    span["someNewField"] = json!({"deep": [1, 2, {"er": null}]});
    span["trace_id"] = json!("snake case is not valid");
    assert_eq!(one(span, |span| span.name().to_owned()), Ok(String::new()));
    let body = br#"{"resourceSpans": null, "other": 1}"#;
    assert_eq!(all(body, |_| ()).unwrap(), []);
}

#[test]
fn values_may_be_empty_bytes_nested_or_of_a_new_kind() {
    for value in [
        json!({}),
        json!(null),
        json!({"bytesValue": "AAECAw=="}),
        json!({"arrayValue": {}}),
        json!({"arrayValue": {"values": [{}, {"arrayValue": {"values": [{"intValue": 1}]}}]}}),
        json!({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": true}}]}}),
        json!({"newValue": 1}),
    ] {
        assert_eq!(value_of_a(&value), "no value", "{value}");
    }
    assert_eq!(
        value_of_a(&json!({"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}, {}]}})),
        r#"Array([Int(1), String("x")])"#
    );
    assert_eq!(value_of_a(&json!({"boolValue": false})), "Bool(false)");
    assert_eq!(value_of_a(&json!({"stringValue": ""})), r#"String("")"#);
    assert_eq!(value_of_a(&json!({"doubleValue": 1})), "Double(1.0)");
    assert_eq!(value_of_a(&json!({"doubleValue": "NaN"})), "Double(NaN)");
    assert_eq!(
        value_of_a(&json!({"doubleValue": "-Infinity"})),
        "Double(-inf)"
    );
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let twice = json!([
        {"key": "a", "value": {"intValue": 1}}, {"key": "a", "value": {"intValue": 2}}
    ]);
    let value = |span: &dyn SpanView| format!("{:?}", span.attribute(AttributeScope::Any, "a"));
    assert_eq!(
        one(with("attributes", twice), value).unwrap(),
        "Some(Int(2))"
    );
}

#[test]
fn link_ids_may_be_arrays_of_numbers_and_a_bad_one_is_absent() {
    let link =
        json!([{"traceId": vec![1; 16], "spanId": vec![2; 8]}, {"traceId": "?", "spanId": [256]}]);
    let found = one(with("links", link), |span| {
        let whole = span.any_link(&mut |link| {
            link.trace_id().is_some_and(|id| id.as_bytes() == &[1; 16]) && link.span_id().is_some()
        });
        let broken =
            span.any_link(&mut |link| link.trace_id().is_none() && link.span_id().is_none());
        (whole, broken)
    });
    assert_eq!(found, Ok((true, true)));
}

#[test]
fn base64_ids_are_refused_in_words_that_name_the_mistake() {
    let refusal = one(with("traceId", json!("W47/95gDgQPSabYzgT/GDA==")), |_| ()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "`traceId` \"W47/95gDgQPSabYzgT/GDA==\" is not hexadecimal, as OTLP/JSON demands: \
         base64 is not taken"
    );
    assert!(one(with("spanId", json!("7uGbfsPBsXQ=")), |_| ()).is_err());
    assert!(one(with("parentSpanId", json!("7uGbfsPBsXM=")), |_| ()).is_err());
}

#[test]
fn a_bad_span_is_refused_alone() {
    let spans = [
        minimal(),
        with("traceId", json!("00000000000000000000000000000000")),
        with("spanId", json!("")),
        with("parentSpanId", json!("ee")),
        json!("not a span"),
        minimal(),
    ];
    let read = all(&request(&spans), |_| ()).unwrap();
    let good: Vec<bool> = read.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, false, false, true]);
    assert_eq!(read[1], Err(Rejection::TraceId));
    assert_eq!(read[2], Err(Rejection::SpanId));
    assert_eq!(read[3], Err(Rejection::ParentSpanId));
    assert_eq!(
        read[4],
        Err(Rejection::Malformed(
            "an element of `spans` is not an object".to_owned()
        ))
    );
}

#[test]
fn a_field_of_the_wrong_type_is_absent_and_counted() {
    let spans = [
        with("name", json!(7)),
        with("attributes", json!({"a": 1})),
        with("events", json!([7])),
        with("status", json!("failed")),
    ];
    let body = request(&spans);
    assert_eq!(faults(&body), [("malformed", 4)]);
    let names = all(&body, |span| span.name().to_owned()).unwrap();
    assert_eq!(names, vec![Ok(String::new()); 4]);
}

#[test]
fn a_bad_resource_is_absent_and_counted_for_its_own_spans_only() {
    let scope_spans = json!([{"spans": [minimal()]}]);
    let body = json!({"resourceSpans": [
        {"resource": 7, "scopeSpans": scope_spans},
        {"resource": {}, "scopeSpans": scope_spans},
    ]});
    assert_eq!(faults(body.to_string().as_bytes()), [("malformed", 1)]);
}

#[test]
fn what_is_no_request_is_refused_whole() {
    for body in [
        "",
        "7",
        "[]",
        "{",
        r#"{"resourceSpans": {}}"#,
        r#"{"resourceSpans": [1]}"#,
        "{} {}",
    ] {
        assert!(
            matches!(all(body.as_bytes(), |_| ()), Err(Malformed::Json(_))),
            "{body}"
        );
    }
}

#[test]
fn nesting_without_end_costs_the_value_only() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = String::from_utf8(request(&[with_value(&json!({"arrayValue": "HERE"}))])).unwrap();
    let body = body.replace("\"HERE\"", &format!(r#"{{"values": {deep}}}"#));
    assert_eq!(faults(body.as_bytes()), [("malformed", 1)]);
    let body = format!(r#"{{"other": {deep}, "resourceSpans": []}}"#);
    assert_eq!(faults(body.as_bytes()), []);
}

#[test]
fn the_footprint_counts_every_value() {
    assert_eq!(footprint(b""), 0);
    let zeros = format!("[{}0]", "0,".repeat(1_000));
    let tree = 1_001 * size_of::<JsonTree<'_>>();
    assert!(footprint(zeros.as_bytes()) >= tree);
}

#[test]
fn what_is_sent_instead_of_traces_is_named() {
    for (body, named) in [
        (json!({"resource_spans": []}), "resource_spans"),
        (
            json!({"resourceSpans": [{"scope_spans": []}]}),
            "resource_spans",
        ),
        (
            json!({"resourceSpans": [{"instrumentationLibrarySpans": []}]}),
            "instrumentationLibrarySpans",
        ),
        (json!({"resourceLogs": []}), "logs"),
        (json!({"resourceMetrics": []}), "metrics"),
    ] {
        let report = read(body.to_string().as_bytes(), &mut |_| ()).unwrap();
        let content = report.other_content.unwrap().to_string();
        assert!(content.contains(named), "{content}");
    }
    let report = read(&request(&[minimal()]), &mut |_| ()).unwrap();
    assert_eq!(report.other_content, None);
}

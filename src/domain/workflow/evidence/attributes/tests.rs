//! Tests of which attributes of a span are kept, and of the laws of their join.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::model::{
    ids::{SpanId, TraceId},
    span::{OwnedValue, Span, SpanKind, SpanStatus},
};

fn span(own: Vec<(String, OwnedValue)>, resource: Vec<(String, OwnedValue)>) -> Span {
    Span {
        trace_id: TraceId::from_slice(&[1; 16]).unwrap(),
        span_id: SpanId::from_slice(&[1; 8]).unwrap(),
        parent_span_id: None,
        name: "deploy".to_owned(),
        kind: SpanKind::Consumer,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: 0,
        end_unix_nano: 0,
        trace_state: String::new(),
        attributes: own,
        resource: Arc::new(resource),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

fn pair(key: &str, value: impl Into<OwnedValue>) -> (String, OwnedValue) {
    (key.to_owned(), value.into())
}

fn written(attributes: &EventAttributes) -> Vec<String> {
    let pairs = attributes.iter();
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn ids_times_and_fractions_are_left_out() {
    let span = span(
        vec![
            pair("region", "eu-central-1"),
            pair("partition", 7),
            pair("retried", true),
            pair("order", "ord-7f31c2"),
            pair("uuid", "2f1b7c1e-94b7-4dd8-a9b0-9ab0cbd72d7f"),
            pair("trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
            pair("number", "81726354"),
            pair("enqueued_at", 1_795_328_280_000),
            pair("ratio", 0.25),
            pair("empty", ""),
        ],
        vec![
            pair("service.version", "2.41.0"),
            pair("telemetry.sdk.name", "opentelemetry"),
            pair("process.pid", 4711),
        ],
    );
    let (attributes, completeness) = EventAttributes::of_span(&span, "ord-7f31c2");
    assert_eq!(completeness, Completeness::Whole);
    assert_eq!(
        written(&attributes),
        [
            "resource.service.version=2.41.0",
            "span.partition=7",
            "span.region=eu-central-1",
            "span.retried=true",
        ]
    );
}

#[test]
fn each_element_of_an_array_is_a_value() {
    let span = span(
        vec![pair("tags", vec!["eu", "vip"]), pair("zone", vec!["a"])],
        Vec::new(),
    );
    let (attributes, _) = EventAttributes::of_span(&span, "");
    assert_eq!(
        written(&attributes),
        ["span.tags=eu", "span.tags=vip", "span.zone=a"]
    );
}

#[test]
fn a_thousand_attributes_and_a_value_of_a_megabyte_are_cut_and_said_to_be() {
    let many = |n: usize| (0..n).map(|i| pair(&format!("k{i:04}"), "v")).collect();
    let (attributes, completeness) = EventAttributes::of_span(&span(many(1_000), many(1_000)), "");
    assert_eq!(completeness, Completeness::Cut);
    assert_eq!(attributes.iter().count(), 32);
    assert_eq!(attributes.iter().last(), Some(("span.k0015", "v")));
    let huge = "é\0".repeat(1 << 19);
    let (attributes, completeness) = EventAttributes::of_span(
        &span(vec![pair("a", huge.as_str()), pair(&huge, "x")], Vec::new()),
        "",
    );
    assert_eq!(completeness, Completeness::Cut);
    let (name, value) = attributes.iter().next().unwrap();
    assert_eq!(name, "span.a");
    assert!(value.starts_with("é\u{fffd}é"));
    assert_eq!(attributes.iter().count(), 1);
    let (exactly, completeness) = EventAttributes::of_span(&span(many(16), many(16)), "");
    assert_eq!(completeness, Completeness::Whole);
    assert_eq!(exactly.iter().count(), 32);
}

fn attributes() -> impl Strategy<Value = EventAttributes> {
    let name = prop_oneof![
        (0_u8..30).prop_map(|n| format!("span.{n}")),
        (0_u8..30).prop_map(|n| format!("resource.{n}")),
    ];
    proptest::collection::vec((name, "[a-c]"), 0..50).prop_map(EventAttributes::from_iter)
}

fn joined(all: &[&EventAttributes]) -> EventAttributes {
    let mut joined = EventAttributes::default();
    for one in all {
        joined.join(one);
    }
    joined
}

proptest! {
    #[test]
    fn order_grouping_and_duplicates_change_nothing(
        a in attributes(), b in attributes(), c in attributes(),
    ) {
        let all = joined(&[&a, &b, &c]);
        prop_assert_eq!(&joined(&[&c, &b, &a]), &all);
        prop_assert_eq!(&joined(&[&a, &joined(&[&b, &c])]), &all);
        prop_assert_eq!(&joined(&[&all, &a, &c, &b]), &all);
        prop_assert!(all.iter().count() <= 2 * MOST_OF_SCOPE);
    }
}

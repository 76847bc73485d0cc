//! Tests of what is found while a span is scanned: the attributes that every span is asked for.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value, trace::v1::Span,
};
use proptest::prelude::*;
use prost::Message as _;

use super::{body_of, by_prost, generate, scan, span, text, with_value};
use crate::{
    domain::{
        model::{
            ids::SloId,
            span::{AttributeScope, SpanView},
            time::Timestamp,
        },
        slo::definition::{DefinitionFile, load},
        traceql::KeyFilter,
        workflow::classify::{ClassifiedBatch, Classifier},
    },
    ingest::json,
};

/// Makes an SLO whose selectors, correlators and stages ask for attributes of spans and resources.
fn classifier(stages: &str) -> Classifier {
    let text = format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: keys }}\nspec:\n  \
         objective: 99%\n  window: 30d\n  indicator:\n    workflow:\n      \
         start: '{{ span.a != \"b\" }}'\n      \
         finish: '{{ resource.b = \"a\" && name = \"a\" }}'\n      \
         fail: '{{ .\"größe\" != nil || .b = 1 }}'\n      \
         cancel: '{{ .service.name = \"b\" && kind = producer }}'\n      \
         within: 1m\n      correlate: [span.b, {{ attribute: .a, run: span.\"größe\" }}, trace]\n      \
         stages: {stages}\n"
    );
    let path = "keys.yaml".to_owned();
    let (catalog, _) = load(&[DefinitionFile { path, text }]).unwrap();
    let names = catalog.slos.keys().cloned();
    Classifier::new(&catalog, &names.zip([SloId(1)]).collect::<BTreeMap<_, _>>())
}

fn classify<'c>(
    classifier: &'c Classifier,
    found: &'c mut ClassifiedBatch,
) -> impl FnMut(Result<&dyn SpanView, super::Rejection>) + 'c {
    move |span| {
        if let Ok(span) = span {
            classifier.classify(span, Timestamp::from_secs(0), found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_span_that_is_scanned_says_what_one_with_all_its_attributes_says(
        choices in prop::collection::vec(any::<u8>(), 0..1_000),
        stages in prop::sample::select(vec!["auto", "none"]),
    ) {
        let body = generate::request(&choices);
        // The reader of JSON makes values of all attributes.
        if let (Ok(_), Ok(request)) = (
            by_prost(&body),
            ExportTraceServiceRequest::decode(body.as_slice()),
        ) {
            let classifier = classifier(stages);
            let (mut scanned, mut whole) = (ClassifiedBatch::default(), ClassifiedBatch::default());
            scan(&body, classifier.asked_keys(), &mut classify(&classifier, &mut scanned)).unwrap();
            let json = serde_json::to_vec(&request).unwrap();
            json::read(&json, &mut classify(&classifier, &mut whole)).unwrap();
            prop_assert_eq!(scanned, whole);
        }
    }
}

#[test]
fn the_cost_of_a_span_does_not_grow_with_the_attributes_of_its_resource() {
    let attributes = (0..1_000_000).map(|n| text("service.name", &n.to_string()));
    let body = body_of(attributes.collect(), vec![span("one"), span("two")]);
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let json = serde_json::to_vec(&request).unwrap();
    let asked = KeyFilter::new(["service.name"]);
    let mut seen = Vec::new();
    let mut see = |span: Result<&dyn SpanView, _>| {
        let span = span.unwrap();
        let mut all = 0;
        span.each_attribute(&mut |_, _, _| all += 1);
        let service = span.attribute(AttributeScope::Resource, "service.name");
        seen.push((all, format!("{service:?}")));
    };
    let of_protobuf = scan(&body, &asked, &mut see).unwrap();
    let of_json = json::read(&json, &mut see).unwrap().with_faults;
    assert_eq!(seen, vec![(512, "Some(String(\"511\"))".to_owned()); 4]);
    for faults in [of_protobuf, of_json] {
        let too_many = faults
            .iter()
            .find(|(fault, _)| fault.as_label() == "too_many_attributes");
        assert_eq!(too_many.unwrap().1, 2);
    }
    let mut keys = 0;
    scan(&body, &asked, &mut |span| {
        span.unwrap().each_asked_key(&mut |_| keys += 1);
    })
    .unwrap();
    assert_eq!(keys, 2);
}

#[test]
fn only_keys_that_every_span_is_asked_for_are_told() {
    let long = with_value("order.id", any_value::Value::StringValue("x".repeat(300)));
    let spans = vec![Span {
        attributes: vec![text("order.id", "1"), text("other", "2"), long],
        ..span("order")
    }];
    let body = body_of(
        vec![text("service.name", "shop"), text("host.name", "a")],
        spans,
    );
    let mut told = Vec::new();
    scan(
        &body,
        &KeyFilter::new(["order.id", "service.name"]),
        &mut |span| {
            let mut tell = |key: &[u8]| told.push(str::from_utf8(key).unwrap().to_owned());
            span.unwrap().each_asked_key(&mut tell);
        },
    )
    .unwrap();
    assert_eq!(told, ["order.id", "order.id", "service.name"]);
}

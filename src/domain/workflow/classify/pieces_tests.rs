//! Tests of stage evidence: from which spans, for which SLOs, and under which keys.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    model::{
        ids::{SloId, SpanId, TraceId},
        span::{Span, SpanAttributes, SpanKind, SpanStatus},
        time::Timestamp,
    },
    slo::{
        Indicator,
        definition::{DefinitionFile, load},
    },
    workflow::{
        classify::{ClassifiedBatch, Classifier, DiscardReason, evidence_keys},
        stage_evidence::{FoundStageEvidence, StageEvidenceKind},
    },
};

const AUTO: &str = "stages: auto";
const NONE: &str = "stages: none";
const DECLARED: &str = "stages:
        - { name: waiting, from: start, to: '{ name = \"deploy\" }' }
        - { name: deploying, span: '{ name = \"deploy\" }' }
        - { name: telling, from: '{ name = \"deploy\" }', to: finish }";

fn classifier(slos: &[(&str, &str)]) -> Classifier {
    let text = (1..).zip(slos).map(|(id, (correlate, stages)): (i32, _)| {
        format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: slo-{id} }}\nspec:\n  \
             objective: 99%\n  window: 30d\n  indicator:\n    workflow:\n      \
             start: '{{ name = \"a\" }}'\n      finish: '{{ name = \"b\" }}'\n      within: 1m\n      \
             correlate: {correlate}\n      {stages}\n  notify: {{}}\n"
        )
    });
    let text = text.collect::<Vec<_>>().join("---\n");
    let path = "pieces.yaml".to_owned();
    let (catalog, _) = load(&[DefinitionFile { path, text }]).unwrap();
    let ids = (1..).zip(catalog.slos.keys());
    let ids = ids
        .map(|(id, name)| (name.clone(), SloId(id)))
        .collect::<BTreeMap<_, _>>();
    Classifier::new(&catalog, &ids)
}

fn span(name: &str, kind: SpanKind, attributes: SpanAttributes) -> Span {
    Span {
        trace_id: TraceId::from_slice(&[1; 16]).unwrap(),
        span_id: SpanId::from_slice(&[2; 8]).unwrap(),
        parent_span_id: None,
        name: name.to_owned(),
        kind,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: 1_795_328_280_000_000_000,
        end_unix_nano: 1_795_328_281_000_000_000,
        trace_state: String::new(),
        attributes,
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

fn find(classifier: &Classifier, span: &Span) -> ClassifiedBatch {
    let mut findings = ClassifiedBatch::default();
    classifier.classify(span, Timestamp::UNIX_EPOCH, &mut findings);
    findings.with_all_stages()
}

fn pieces(classifier: &Classifier, span: &Span) -> Vec<FoundStageEvidence> {
    find(classifier, span).pieces
}

fn order(id: &str) -> SpanAttributes {
    vec![("order.id".to_owned(), id.into())]
}

#[test]
fn slos_that_find_a_message_under_the_same_key_keep_it_once() {
    let classifier = classifier(&[
        ("[trace]", AUTO),
        ("[trace]", AUTO),
        ("[span.order.id, trace]", AUTO),
        ("[trace]", NONE),
    ]);
    let plain = span("message", SpanKind::Consumer, SpanAttributes::new());
    assert_eq!(pieces(&classifier, &plain).len(), 1);
    let named = span("message", SpanKind::Consumer, order("42"));
    let found = pieces(&classifier, &named);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].wanted_by[..], [SloId(1), SloId(2)]);
    assert_ne!(found[0].key, found[1].key);
    for kind in [SpanKind::Internal, SpanKind::Client, SpanKind::Server] {
        assert_eq!(pieces(&classifier, &span("message", kind, order("42"))), []);
    }
}

#[test]
fn a_message_without_the_attribute_is_found_by_the_trace_of_its_workflow() {
    let classifier = classifier(&[("[span.order.id, trace]", AUTO)]);
    let (_, slo) = &classifier.slos()[0];
    let Indicator::Workflow(workflow) = &slo.indicator else {
        panic!("it is a workflow");
    };
    let start = span("a", SpanKind::Producer, order("42"));
    let key = find(&classifier, &start).evidence[0].key;
    let keys = evidence_keys(&workflow.correlate, key, start.trace_id);
    let of_another = span("message", SpanKind::Consumer, order("43"));
    for (message, is_found) in [
        (
            span("message", SpanKind::Consumer, SpanAttributes::new()),
            true,
        ),
        (span("message", SpanKind::Consumer, order("42")), true),
        (of_another, false),
    ] {
        let found = pieces(&classifier, &message);
        assert_eq!(
            keys.contains(&found[0].key.event_key()),
            is_found,
            "{message:?}"
        );
    }
}

#[test]
fn a_span_of_declared_stages_is_put_aside_once_for_each_of_its_parts() {
    let classifier = classifier(&[("[trace]", DECLARED)]);
    let found = pieces(
        &classifier,
        &span("deploy", SpanKind::Internal, SpanAttributes::new()),
    );
    let mut parts: Vec<_> = found
        .iter()
        .map(|found| (found.piece.kind, &*found.piece.name, found.slo))
        .collect();
    parts.sort();
    let slo = Some(SloId(1));
    assert_eq!(
        parts,
        [
            (StageEvidenceKind::Whole, "deploying", slo),
            (StageEvidenceKind::From, "telling", slo),
            (StageEvidenceKind::To, "waiting", slo),
        ]
    );
    let message = span("message", SpanKind::Consumer, SpanAttributes::new());
    assert_eq!(pieces(&classifier, &message), []);
}

#[test]
fn pieces_without_room_are_counted_with_everybody_who_misses_them() {
    // The message is found under its trace by all of them; those that follow links have its claim.
    let classifier = classifier(&[("[trace]", AUTO), ("[links]", AUTO), ("[links]", AUTO)]);
    let message = span("message", SpanKind::Consumer, order("1"));
    let linked = pieces(&classifier, &message);
    assert_eq!((linked.len(), linked[0].is_always_kept), (1, true));
    let mut findings = ClassifiedBatch::default();
    findings.add_linked_stages(linked.clone(), 1);
    assert_eq!((findings.pieces.len(), findings.unusable.len()), (1, 0));
    findings.add_linked_stages(linked, 0);
    let missed = |slo| ((SloId(slo), DiscardReason::TooMuchStageEvidence), 1);
    assert_eq!(findings.unusable, BTreeMap::from([missed(2), missed(3)]));
    assert_eq!(findings.pieces.len(), 1);
}

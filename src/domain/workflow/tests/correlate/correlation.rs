//! Correlation of a span with its workflow: by trace state, by attributes, and by both on links.

use crate::domain::workflow::links::MAX_LINKS;
use crate::domain::workflow::tests::*;

fn by_trace_state() -> SloUnderTest {
    let correlate = vec![Correlator::TraceState {
        key: "wf".to_owned(),
    }];
    SloUnderTest::workflow(WorkflowIndicator {
        correlate,
        ..workflow_slo()
    })
}

fn by_message() -> SloUnderTest {
    SloUnderTest::workflow(WorkflowIndicator {
        correlate: by_attribute("messaging.message.id"),
        ..workflow_slo()
    })
}

fn published(id: &str, message: &str, secs: f64) -> Span {
    span(id, "enqueue", [secs, secs + 0.1]).with("messaging.message.id", message)
}

#[test]
fn s2_a_key_of_the_trace_state_joins_spans_of_different_traces() {
    by_trace_state()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]).with_trace_state("ot=th:0,wf=7f3a;x"),
            span("b:1", "finish", [30.0, 31.0]).with_trace_state(" wf=7f3a;x\t,ot=th:0"),
        ])
        .has(Outcome::Good, 31.0);
}

#[test]
fn s2_the_trace_state_of_a_link_serves_where_the_spans_own_lacks_the_key() {
    by_trace_state()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]).with_trace_state("wf=7f3a"),
            span("b:1", "finish", [30.0, 31.0])
                .with_trace_state("ot=th:0")
                .linked_with("a:1", "wf=7f3a", &[]),
        ])
        .has(Outcome::Good, 31.0);
}

#[test]
fn the_trace_state_of_the_span_outweighs_those_of_its_links() {
    by_trace_state()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]).with_trace_state("wf=own"),
            span("b:1", "finish", [30.0, 31.0])
                .with_trace_state("wf=own")
                .linked_with("x:1", "wf=other", &[]),
        ])
        .has(Outcome::Good, 31.0);
}

#[test]
fn without_the_key_or_with_an_empty_one_nothing_correlates() {
    for trace_state in ["", "ot=th:0", "wf", "wf=", "swf=7f3a"] {
        let world = by_trace_state()
            .receive(&[span("a:1", "enqueue", [0.0, 0.1]).with_trace_state(trace_state)])
            .has_none();
        let expected = BTreeMap::from([(DiscardReason::Uncorrelated, 1)]);
        assert_eq!(world.unusable, expected, "{trace_state}");
    }
}

#[test]
fn s10_message_ids_on_the_links_of_a_batch_are_a_verdict_each() {
    let message = |n: u8| format!("m{n}");
    let starts = [("a:1", 1, 0.0), ("b:1", 2, -20.0), ("c:1", 3, 49.0)];
    let batch = starts.iter().fold(
        span("p:1", "finish", [50.0, 52.0]),
        |batch, (id, number, _)| {
            batch.linked_with(id, "", &[("messaging.message.id", &message(*number))])
        },
    );
    let starts = starts.map(|(id, number, secs)| published(id, &message(number), secs));
    let world = by_message().receive(&starts).receive(&[batch]).adds_up();
    assert_eq!(
        world.verdicts(),
        [
            (Outcome::Late, Some(40.0)),
            (Outcome::Good, Some(52.0)),
            (Outcome::Good, Some(52.0)),
        ]
    );
}

#[test]
fn the_run_of_a_link_may_stand_on_the_link_or_on_the_span() {
    let correlate = vec![Correlator::Attribute {
        attribute: attribute("job.id"),
        run: Some(attribute("run.id")),
    }];
    let slo = || WorkflowIndicator {
        correlate: correlate.clone(),
        ..workflow_slo()
    };
    let start = span("a:1", "enqueue", [0.0, 0.1])
        .with("job.id", "j")
        .with("run.id", "r");
    let end = || span("b:1", "finish", [9.0, 10.0]);
    let on_link = end().linked_with("a:1", "", &[("job.id", "j"), ("run.id", "r")]);
    let on_span = end()
        .linked_with("a:1", "", &[("job.id", "j")])
        .with("run.id", "r");
    for end in [on_link, on_span] {
        SloUnderTest::workflow(slo())
            .receive(&[start.clone(), end])
            .has(Outcome::Good, 10.0);
    }
}

#[test]
fn links_above_the_limit_are_not_looked_at_and_that_is_counted() {
    let batch = (0..10_000).fold(span("p:1", "finish", [50.0, 52.0]), |batch, n| {
        batch.linked_with("a:1", "", &[("messaging.message.id", &n.to_string())])
    });
    let world = by_message().receive(&[batch]).until(1_000.0);
    assert_eq!(world.verdicts().len(), MAX_LINKS);
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::TooManyLinks, 1)])
    );
}

#[test]
fn a_key_of_a_megabyte_is_counted_and_identifies_nothing() {
    let payload = "x".repeat(1_000_000);
    let own = published("a:1", &payload, 0.0);
    let linked = span("p:1", "finish", [50.0, 52.0]).linked_with(
        "a:1",
        "",
        &[("messaging.message.id", &payload)],
    );
    let world = by_message().receive(&[own, linked]).has_none();
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::KeyTooLong, 2)])
    );
}

#[test]
fn the_label_of_a_long_id_says_that_it_was_cut() {
    let label = |id: &str| {
        let mut findings = ClassifiedBatch::default();
        let start = published("a:1", id, 0.0);
        let classifier = by_message().classifier;
        classifier.classify(&start, at(-1_000.0), &mut findings);
        findings.evidence[0].label.clone()
    };
    let fits = "x".repeat(256);
    assert_eq!(label(&fits), fits);
    // Two bytes each: it is cut between two letters.
    assert_eq!(label(&"ü".repeat(200)), format!("{}…", "ü".repeat(126)));
}

#[test]
fn what_correlates_and_what_does_not_is_counted_span_by_span() {
    let mut findings = ClassifiedBatch::default();
    let world = by_message();
    for span in [
        published("a:1", "m1", 0.0),
        span("p:1", "finish", [1.0, 2.0])
            .linked_with("a:1", "", &[("messaging.message.id", "m1")])
            .linked_with("b:1", "", &[("messaging.message.id", "m2")]),
        span("q:1", "finish", [1.0, 2.0]),
        span("q:2", "nobody asks", [1.0, 2.0]),
    ] {
        let horizon = at(-1_000.0);
        world.classifier.classify(&span, horizon, &mut findings);
    }
    assert_eq!(findings.correlated, BTreeMap::from([(SloId(1), 2)]));
    let uncorrelated = ((SloId(1), DiscardReason::Uncorrelated), 1);
    assert_eq!(findings.unusable, BTreeMap::from([uncorrelated]));
}

#[test]
fn s41_an_array_of_one_id_is_the_id() {
    by_message()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]).with("messaging.message.id", vec!["m1"]),
            span("b:1", "finish", [30.0, 31.0]).with("messaging.message.id", "m1"),
        ])
        .has(Outcome::Good, 31.0);
}

#[test]
fn s41_an_array_of_several_ids_is_evidence_of_each_of_their_workflows() {
    let published = |(number, id): (usize, &str)| published(&format!("a:{number}"), id, 0.0);
    let batch = span("b:1", "finish", [30.0, 31.0]);
    let slo = by_message()
        .receive(&Vec::from_iter(
            [(1, "m1"), (2, "m2"), (3, "m3")].map(published),
        ))
        .receive(&[batch.with("messaging.message.id", vec!["m1", "m2", "m1"])]);
    assert_eq!(
        slo.verdicts(),
        [
            (Outcome::Open, None),
            (Outcome::Good, Some(31.0)),
            (Outcome::Good, Some(31.0)),
        ]
    );
}

#[test]
fn s41_of_more_than_128_ids_the_rest_is_counted_as_lost() {
    let ids: Vec<_> = (0..200_i64).collect();
    let slo = by_message()
        .receive(&[span("b:1", "finish", [30.0, 31.0]).with("messaging.message.id", ids)]);
    assert_eq!(slo.known.len(), 128);
    assert_eq!(slo.unusable[&DiscardReason::TooManyLinks], 1);
    assert_eq!(slo.losses.len(), 1);
}

#[test]
fn s41_several_values_name_no_customer_and_that_is_noted() {
    let classifier = classifier(&Weighing::default(), [Indicator::Workflow(workflow_slo())]);
    for (value, customer, noted) in [
        (vec!["acme"], Some("acme"), None),
        (vec!["acme", "acme"], Some("acme"), None),
        (vec!["acme", "umbrella"], None, Some(1)),
        (vec![], None, None),
    ] {
        let mut findings = ClassifiedBatch::default();
        let start = span("a:1", "enqueue", [0.0, 0.1]).with("customer.id", value.clone());
        classifier.classify(&start, at(-60.0), &mut findings);
        assert_eq!(
            findings.evidence[0].customer.as_deref(),
            customer,
            "{value:?}"
        );
        let reason = (SloId(1), DiscardReason::SeveralValues);
        assert_eq!(findings.unusable.get(&reason).copied(), noted, "{value:?}");
    }
}

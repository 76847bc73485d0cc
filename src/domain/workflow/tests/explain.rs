//! Ten typical mistakes of a definition, each explained with its correction.

use std::sync::Arc;

use super::*;
use crate::domain::{
    slo::HiddenAttributes,
    workflow::shapes::{
        Explanation, NearestSpans, SampleCandidate, SampledSpans, SharedShapes, StoredSpan, explain,
    },
};

fn slo(start: &str, finish: &str) -> Slo {
    slo_of(WorkflowIndicator::new(
        selector(start),
        selector(finish),
        Duration::from_mins(1),
        vec![Correlator::Trace],
    ))
}

fn slo_of(workflow: WorkflowIndicator) -> Slo {
    Slo::new(
        "orders".parse().unwrap(),
        "99%".parse().unwrap(),
        Duration::from_hours(720),
        Indicator::Workflow(workflow),
    )
}

fn sample(slo: &Slo, spans: &[Span]) -> SampledSpans {
    let hidden = HiddenAttributes::of([&Arc::new(slo.clone())]);
    let copies = spans.iter().map(|span| candidate(span, &hidden, 1));
    let shapes = SharedShapes::new();
    shapes.add(at(0.0), copies.collect());
    shapes.at(at(1.0))
}

fn candidate(span: &Span, hidden: &HiddenAttributes, stands_for: i64) -> SampleCandidate {
    SampleCandidate {
        span: Arc::new(StoredSpan::copy(span, hidden)),
        stands_for: Some(stands_for),
        admission: None,
    }
}

fn explained(slo: &Slo, spans: &[Span]) -> Explanation {
    explain(slo, &sample(slo, spans))
}

/// Returns the near misses of a selector that nothing matches.
fn nearest(explanation: &Explanation, field: &str) -> Vec<String> {
    let mut selectors = explanation.selectors.iter();
    let selector = selectors.find(|one| one.field == field).unwrap();
    assert_eq!(selector.matched, 0, "{selector:?}");
    selector
        .nearest
        .iter()
        .map(NearestSpans::sentence)
        .collect()
}

fn publish(id: &str) -> Span {
    span(id, "orders publish", [0.0, 0.1]).of_kind(SpanKind::Client)
}

fn in_service(mut span: Span, service: &str) -> Span {
    span.resource = Arc::new(vec![("service.name".to_owned(), service.into())]);
    span
}

#[test]
fn a_selector_with_the_wrong_kind_is_told_the_kind() {
    let slo = slo(
        r#"{ name = "orders publish" && kind = producer }"#,
        "{ false }",
    );
    let spans = [publish("a:1"), publish("b:1"), publish("c:1")];
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        ["3 spans match but for `kind = producer`: `kind` is `client`"]
    );
}

#[test]
fn a_selector_with_the_wrong_scope_is_told_the_scope() {
    let slo = slo(
        r#"{ name = "orders publish" && resource.order.state = "new" }"#,
        "{ false }",
    );
    let spans = [publish("a:1").with("order.state", "new")];
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        [
            "1 span matches but for `resource.order.state = \"new\"`: `resource.order.state` is absent, \
          `span.order.state` is there"
        ]
    );
}

#[test]
fn a_regular_expression_that_only_a_part_matches_is_explained() {
    let slo = slo(r#"{ name =~ "publish" }"#, "{ false }");
    assert_eq!(
        nearest(&explained(&slo, &[publish("a:1")]), "start"),
        [
            "1 span matches but for `name =~ \"publish\"`: `name` is `\"orders publish\"`: a regular \
             expression must match the whole value"
        ]
    );
}

#[test]
fn where_nothing_is_near_the_most_frequent_spans_are_named() {
    let slo = slo(
        r#"{ name = "orders publish" }"#,
        r#"{ name = "shipment.done" }"#,
    );
    let spans = [
        publish("a:1"),
        in_service(span("b:1", "pick", [0.0, 0.1]), "warehouse"),
        in_service(span("c:1", "pick", [0.0, 0.1]), "warehouse"),
    ];
    assert_eq!(
        explained(&slo, &spans).advice,
        [
            "No span is like what `finish` selects. The most frequent others are: `pick` of warehouse \
             (consumer), 2 spans."
        ]
    );
}

#[test]
fn a_renamed_attribute_is_found() {
    let slo = slo("{ span.order.id != nil && kind = client }", "{ false }");
    let spans = [publish("a:1").with("order_id", "4711")];
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        [
            "1 span matches but for `span.order.id != nil`: `span.order.id` is absent, `span.order_id` is \
          there"
        ]
    );
}

#[test]
fn a_number_that_is_a_string_is_recognised() {
    let slo = slo(
        r#"{ name = "orders publish" && span.items > 3 }"#,
        "{ false }",
    );
    let spans = [publish("a:1").with("items", "42")];
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        [
            "1 span matches but for `span.items > 3`: `span.items` is the string `\"42\"`, compared with a \
          number"
        ]
    );
    let slo = slo_of(WorkflowIndicator::new(
        selector(r#"{ span.items = "42" }"#),
        selector("{ false }"),
        Duration::from_mins(1),
        vec![Correlator::Trace],
    ));
    let spans = [publish("a:1").with("items", 42)];
    let found = nearest(&explained(&slo, &spans), "start");
    assert!(
        found[0].contains("is the number `42`, compared with a string"),
        "{found:?}"
    );
}

#[test]
fn a_renamed_service_is_recognised() {
    let slo = slo(r#"{ resource.service.name = "checkout" }"#, "{ false }");
    let spans = [
        in_service(publish("a:1"), "checkout-v2"),
        in_service(publish("b:1"), "mailer"),
    ];
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        [
            "1 span matches but for `resource.service.name = \"checkout\"`: `resource.service.name` is \
          `\"checkout-v2\"`"
        ]
    );
}

#[test]
fn a_finish_that_never_matches_is_told_the_nearest_span() {
    let slo = slo(
        r#"{ name = "orders publish" }"#,
        r#"{ name = "order confirmed" && status != error }"#,
    );
    let spans = [publish("a:1"), span("b:1", "order-confirmed", [1.0, 2.0])];
    let explanation = explained(&slo, &spans);
    assert_eq!(explanation.selectors[0].matched, 1);
    assert_eq!(
        nearest(&explanation, "finish"),
        ["1 span matches but for `name = \"order confirmed\"`: `name` is `\"order-confirmed\"`"]
    );
}

#[test]
fn a_customer_that_no_span_names_is_told() {
    let slo = Slo {
        customer: Some(attribute("customer.id")),
        ..slo(r#"{ name = "orders publish" }"#, r#"{ name = "finish" }"#)
    };
    let spans = [publish("a:1").with("customer_id", "acme")];
    assert_eq!(
        explained(&slo, &spans).advice,
        [
            "`customer`: no span that is selected has `span.customer.id`, so no customer is known to be \
          affected. `span.customer_id` is there: name it, or set the other."
        ]
    );
    let named = [publish("a:1").with("customer.id", "acme")];
    assert_eq!(explained(&slo, &named).advice, [""; 0]);
}

#[test]
fn a_start_time_in_another_unit_is_told_the_unit() {
    let Indicator::Workflow(workflow) =
        slo(r#"{ name = "orders publish" }"#, "{ false }").indicator
    else {
        panic!("it is a workflow");
    };
    let slo = slo_of(WorkflowIndicator {
        started_at: Some(StartedAt::Attribute {
            attribute: attribute("created"),
            unit: TimeUnit::Seconds,
        }),
        ..workflow
    });
    let millis = at(-3.0).as_micros() / 1_000;
    let spans = [publish("a:1").with("created", millis)];
    assert_eq!(
        explained(&slo, &spans).advice,
        [
            "`startedAt`: `span.created` is no plausible time in the unit of the definition. With \
          `unit: ms` it is."
        ]
    );
    let secs = [publish("a:1").with("created", millis / 1_000)];
    assert_eq!(explained(&slo, &secs).advice, [""; 0]);
}

#[test]
fn start_and_finish_that_select_the_same_span_are_told() {
    let slo = slo(
        r#"{ name = "RunWorkflow" }"#,
        r#"{ name = "RunWorkflow" && status != error }"#,
    );
    let spans = [span("a:1", "RunWorkflow", [0.0, 30.0])];
    let advice = explained(&slo, &spans).advice;
    assert!(
        advice[0].contains("let `opens` select an early span"),
        "{advice:?}"
    );
}

#[test]
fn an_id_that_only_one_side_has_is_told() {
    let Indicator::Workflow(workflow) =
        slo(r#"{ name = "orders publish" }"#, r#"{ name = "finish" }"#).indicator
    else {
        panic!("it is a workflow");
    };
    let slo = slo_of(WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow
    });
    let done = span("b:1", "finish", [1.0, 2.0]).with("orderId", 7);
    let spans = [publish("a:1").with("order.id", 7), done];
    let explanation = explained(&slo, &spans);
    assert_eq!(
        explanation.advice,
        [
            "Start spans are identified by `span.order.id`, finish spans by nothing, so no finish belongs \
          to a start. `span.order.id` is absent where `span.orderId` is there: set it on both sides, or \
          name an attribute that both have."
        ]
    );
    let finish = &explanation.selectors[1];
    assert_eq!(
        (finish.correlated[0].by.as_ref(), finish.correlated[0].spans),
        (None, 1)
    );
}

#[test]
fn what_matches_needs_no_near_miss_and_names_spans_to_look_at() {
    let slo = slo(r#"{ name = "orders publish" }"#, r#"{ name = "finish" }"#);
    let spans: Vec<Span> = ["a:1", "b:1", "c:1", "d:1", "e:1"].map(publish).into();
    let explanation = explained(&slo, &spans);
    let start = &explanation.selectors[0];
    assert_eq!((start.matched, start.examples.len()), (5, 3));
    assert!(start.nearest.is_empty());
    assert_eq!(start.correlated[0].by.as_deref(), Some("trace"));
    assert_eq!(nearest(&explanation, "finish"), [""; 0], "nothing is near");
}

#[test]
fn values_that_are_secret_or_name_customers_are_not_stored() {
    let slo = Slo {
        customer: Some(attribute("tenant")),
        ..slo(r#"{ name = "orders publish" }"#, "{ false }")
    };
    let spans = [publish("a:1")
        .with("tenant", "acme")
        .with("http.request.header.authorization", "Bearer xyz")];
    let sample = sample(&slo, &spans);
    let told = format!("{sample:?}");
    assert!(!told.contains("acme") && !told.contains("xyz"), "{told}");
    // Whether their values match is unknown, so they are not near misses.
    let by_value = self::slo(
        r#"{ name = "orders publish" && span.tenant = "other" && kind = producer }"#,
        "{ false }",
    );
    assert_eq!(
        nearest(&explain(&by_value, &sample), "start"),
        ["1 span matches but for `kind = producer`: `kind` is `client`"]
    );
}

#[test]
fn of_spans_with_random_names_and_attributes_a_bounded_number_is_stored() {
    let slo = slo("{ false }", "{ false }");
    let shapes = SharedShapes::new();
    for nth in 0..5_000 {
        let named = Span {
            name: format!("GET /orders/{nth}"),
            ..publish("a:1")
        };
        let with_key = publish("a:1").with(&format!("key-{nth}"), 1);
        let copies =
            [named, with_key].map(|span| candidate(&span, &HiddenAttributes::default(), 1));
        shapes.add(at(0.0), copies.into());
    }
    let explanation = explain(&slo, &shapes.at(at(1.0)));
    assert_eq!(explanation.spans_received, 10_000);
    assert!(explanation.spans_beyond_limit > 8_900, "{explanation:?}");
    // After an hour there is space again.
    let later = at(4_000.0);
    shapes.add(
        later,
        vec![candidate(&publish("a:1"), &HiddenAttributes::default(), 7)],
    );
    let explanation = explain(&slo, &shapes.at(later));
    assert_eq!(
        (explanation.spans_received, explanation.spans_beyond_limit),
        (7, 0)
    );
}

#[test]
fn without_samples_nothing_is_explained() {
    let shapes = SharedShapes::default();
    shapes.add(
        at(0.0),
        vec![candidate(&publish("a:1"), &HiddenAttributes::default(), 1)],
    );
    assert!(!shapes.is_on());
    let slo = slo(r#"{ name = "orders publish" }"#, "{ false }");
    assert_eq!(explain(&slo, &shapes.at(at(1.0))).spans_received, 0);
}

fn matched(explanation: &Explanation, field: &str) -> String {
    let mut selectors = explanation.selectors.iter();
    let selector = selectors.find(|one| one.field == field).unwrap();
    selector.matched_sentence()
}

#[test]
fn a_span_that_is_named_is_nearer_than_others_of_the_kind_that_is_asked_for() {
    let slo = slo(r#"{ name = "POST /pay" && kind = producer }"#, "{ false }");
    let mut spans = vec![span("a:1", "POST /pay", [0.0, 0.1]).of_kind(SpanKind::Server)];
    for id in ["b:1", "c:1", "d:1"] {
        spans.push(span(id, "orders publish", [0.0, 0.1]).of_kind(SpanKind::Producer));
    }
    assert_eq!(
        nearest(&explained(&slo, &spans), "start"),
        ["1 span matches but for `kind = producer`: `kind` is `server`"]
    );
}

#[test]
fn a_value_that_is_not_stored_keeps_no_span_from_matching() {
    let selects = r#"{ name = "orders publish" && span.user.password = "hunter2" }"#;
    let slo = slo(selects, "{ false }");
    let spans = ["a:1", "b:1"].map(|id| publish(id).with("user.password", "hunter3"));
    assert_eq!(
        matched(&explained(&slo, &spans), "start"),
        "2 spans of the last hour match, as far as is known: values that it reads are not stored"
    );
}

/// The newest three spans of one shape are stored.
#[test]
fn a_number_that_is_extrapolated_is_said_to_be_one() {
    let selects = r#"{ name = "orders publish" && span.order.state = "new" }"#;
    let slo = slo(selects, r#"{ name = "orders publish" }"#);
    let states = ["old", "old", "new", "old", "new"];
    let spans = states.map(|state| publish("a:1").with("order.state", state));
    let explanation = explained(&slo, &spans);
    assert_eq!(
        matched(&explanation, "start"),
        "about 3 spans of the last hour match"
    );
    // By the name alone all five are known to match.
    assert_eq!(
        matched(&explanation, "finish"),
        "5 spans of the last hour match"
    );
}

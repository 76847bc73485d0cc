//! Shapes that touch storage or time, from the wire to the counts of a running service.

use throughline::domain::model::counts::EventCounts;

use crate::support::{
    app::good,
    database::TestDatabase,
    service::Site,
    span::{SpanBuilder, request, span},
    workload::{minutes_ago, post},
};

/// An SLO of a minute, whose workflows begin with the span `<name> started`.
fn slo(name: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
         objective: 99.5%\n  window: 30d\n  grace: 3s\n  indicator:\n    workflow:\n      \
         start: '{{ name = \"{name} started\" }}'\n      \
         finish: '{{ name = \"{name} finished\" }}'\n      within: 1m\n      {rest}\n"
    )
}

fn definitions() -> String {
    [
        slo(
            "paused",
            "correlate: [trace]\n      pause: '{ name = \"approval\" }'",
        ),
        slo(
            "fanned-out",
            "correlate: [trace]\n      legs: { expect: span.legs, by: span.leg, complete: all }",
        ),
        slo("sampled", "correlate: [trace]\n      endThreshold: c"),
        slo("handed-on", "correlate: [{ tracestate: wf }]"),
        slo("batched", "correlate: [span.order.id]"),
    ]
    .concat()
}

/// Each shape's spans, ends before their starts.
fn spans() -> Vec<SpanBuilder> {
    let at = |trace: u8, name: &str, secs: f64| span(name).trace_of(&[trace; 16]).at(secs);
    let leg = |number, secs| at(2, "fanned-out finished", secs).attribute("leg", number);
    let elsewhere = |span: SpanBuilder| span.link_to(9, 9);
    // The last seven bytes of a trace id are its randomness: one is kept by both samplers, one by the
    // first alone.
    let (kept, dropped_later) = (0xd0, 0x90);
    let batch = elsewhere(at(6, "batched finished", 40.0)).link_attribute("order.id", 1);
    let spans = [
        at(1, "paused finished", 150.0),
        at(1, "approval", 5.0).lasting(120.0),
        at(1, "paused started", 0.0),
        leg(1, 20.0),
        leg(2, 30.0),
        leg(3, 65.0),
        at(2, "fanned-out started", 0.0).attribute("legs", 3),
        at(kept, "sampled finished", 30.0).trace_state("ot=th:c"),
        at(kept, "sampled started", 0.0).trace_state("ot=th:8"),
        at(dropped_later, "sampled started", 0.0).trace_state("ot=th:8"),
        elsewhere(at(4, "handed-on finished", 50.0)).link_state("wf=42"),
        at(3, "handed-on started", 0.0).trace_state("wf=42"),
        elsewhere(batch).link_attribute("order.id", 2),
        at(5, "batched started", 0.0).attribute("order.id", 1),
        at(5, "batched started", 0.0).attribute("order.id", 2),
    ];
    let numbered = (1..).zip(spans);
    numbered.map(|(number, span)| span.id(number)).collect()
}

#[tokio::test]
async fn pauses_legs_samples_batches_and_what_is_handed_on_are_judged_from_the_wire() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, &definitions());
    let service = site.start().await;
    let api = &service.api;
    let (sent, zero) = (spans(), minutes_ago(5));
    // One by one, and all of them once more.
    for spans in sent.chunks(1).chain([&sent[..]]) {
        let answer = post(&api.client, &api.http, request(spans, zero)).await;
        assert_eq!(answer.unwrap(), 200);
    }
    let late = EventCounts {
        late: 1,
        ..EventCounts::ZERO
    };
    let sampled = EventCounts {
        unobservable: 1,
        sampled: 1,
        unseen_good: 3_000_000,
        ..good(1)
    };
    api.counts_become("paused", good(1)).await;
    api.counts_become("fanned-out", late).await;
    api.counts_become("sampled", sampled).await;
    api.counts_become("handed-on", good(1)).await;
    api.counts_become("batched", good(2)).await;
}

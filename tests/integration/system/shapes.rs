//! Shapes that touch storage or time, from the wire to the counts of a running service.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{Span, span::Link},
};
use throughline::domain::model::counts::EventCounts;

use crate::support::{
    database::TestDatabase,
    service::Site,
    workload::{minutes_ago, post, request, span},
};

const SECOND: u64 = 1_000_000_000;

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

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::IntValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn with(mut span: Span, key: &str, value: i64) -> Span {
    span.attributes.push(number(key, value));
    span
}

fn in_state(span: Span, trace_state: &str) -> Span {
    Span {
        trace_state: trace_state.to_owned(),
        ..span
    }
}

fn linked(mut span: Span, link: Link) -> Span {
    span.links.push(Link {
        trace_id: vec![9; 16],
        span_id: vec![9; 8],
        ..link
    });
    span
}

/// Each shape's spans, ends before their starts.
fn spans(t0: u64) -> Vec<Span> {
    let at = |trace: [u8; 16], name: &str, secs: u64| span(trace, name, t0 + secs * SECOND);
    let leg = |number, secs| with(at([2; 16], "fanned-out finished", secs), "leg", number);
    let approval = Span {
        end_time_unix_nano: t0 + 125 * SECOND,
        ..at([1; 16], "approval", 5)
    };
    // The last seven bytes of a trace id are its randomness: one is kept by both samplers, one by the
    // first alone.
    let (kept, dropped_later) = ([0xd0; 16], [0x90; 16]);
    let of_order = |order| Link {
        attributes: vec![number("order.id", order)],
        ..Link::default()
    };
    let batch = linked(
        linked(at([6; 16], "batched finished", 40), of_order(1)),
        of_order(2),
    );
    let handed_on = Link {
        trace_state: "wf=42".to_owned(),
        ..Link::default()
    };
    vec![
        at([1; 16], "paused finished", 150),
        approval,
        at([1; 16], "paused started", 0),
        leg(1, 20),
        leg(2, 30),
        leg(3, 65),
        with(at([2; 16], "fanned-out started", 0), "legs", 3),
        in_state(at(kept, "sampled finished", 30), "ot=th:c"),
        in_state(at(kept, "sampled started", 0), "ot=th:8"),
        in_state(at(dropped_later, "sampled started", 0), "ot=th:8"),
        linked(at([4; 16], "handed-on finished", 50), handed_on),
        in_state(at([3; 16], "handed-on started", 0), "wf=42"),
        batch,
        with(at([5; 16], "batched started", 0), "order.id", 1),
        with(at([5; 16], "batched started", 0), "order.id", 2),
    ]
}

#[tokio::test]
async fn pauses_legs_samples_batches_and_what_is_handed_on_are_judged_from_the_wire() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, &definitions());
    let service = site.start().await;
    let api = &service.api;
    let sent = spans(minutes_ago(5));
    // One by one, and all of them once more.
    for spans in sent.chunks(1).chain([&sent[..]]) {
        let answer = post(&api.client, &api.http, request(spans.to_vec())).await;
        assert_eq!(answer.unwrap(), 200);
    }
    let good = |good| EventCounts {
        good,
        ..EventCounts::ZERO
    };
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

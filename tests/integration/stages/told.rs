//! From the wire to the page: the real program is sent messages over two queues, out of order.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span,
        span::{Link, SpanKind},
    },
};
use prost::Message as _;
use serde_json::Value;

use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    service::Site,
    workload::{ORDERS, minutes_ago, post, request, span},
};

const SECOND: u64 = 1_000_000_000;

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// A message as one request of its own, in seconds after `placed`.
fn message(
    (trace, placed): ([u8; 16], u64),
    about: (SpanKind, &str, &str),
    (from, to): (u64, u64),
) -> Vec<u8> {
    let message = Span {
        end_time_unix_nano: placed + to * SECOND,
        ..span(trace, "message", placed + from * SECOND)
    };
    sent(about, message)
}

fn sent((kind, queue, service): (SpanKind, &str, &str), message: Span) -> Vec<u8> {
    let message = Span {
        kind: kind.into(),
        attributes: vec![text("messaging.destination.name", queue)],
        ..message
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![message],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}

/// The requests of an order, none in its place.
fn order(wait: u64) -> Vec<Vec<u8>> {
    use SpanKind::{Consumer, Producer};
    let order = (rand::random(), minutes_ago(3));
    let (trace, placed) = order;
    vec![
        message(
            order,
            (Consumer, "parcels", "packing"),
            (wait + 5, wait + 6),
        ),
        request(vec![span(
            trace,
            "order confirmed",
            placed + (wait + 6) * SECOND,
        )]),
        message(order, (Consumer, "cards", "payment"), (wait + 1, wait + 3)),
        message(order, (Producer, "cards", "shop"), (0, 1)),
        request(vec![span(trace, "order placed", placed)]),
        message(
            order,
            (Producer, "parcels", "payment"),
            (wait + 3, wait + 3),
        ),
    ]
}

/// The same order, each hop of which begins a trace of its own that only links to the one before.
fn linked_order() -> Vec<Vec<u8>> {
    use SpanKind::{Consumer, Producer};
    let placed = minutes_ago(3);
    let [shop, payment, packing]: [[u8; 16]; 3] = rand::random();
    let from_to = |trace, from: u64, to: u64| Span {
        end_time_unix_nano: placed + to * SECOND,
        ..span(trace, "message", placed + from * SECOND)
    };
    let after = |mut later: Span, earlier: &Span| {
        later.links.push(Link {
            trace_id: earlier.trace_id.clone(),
            span_id: earlier.span_id.clone(),
            ..Link::default()
        });
        later
    };
    let within = |child: Span, parent: &Span| Span {
        parent_span_id: parent.span_id.clone(),
        ..child
    };
    let start = span(shop, "order placed", placed);
    let to_cards = within(from_to(shop, 0, 1), &start);
    let paying = after(from_to(payment, 11, 13), &to_cards);
    let to_parcels = within(from_to(payment, 13, 13), &paying);
    let packed = after(from_to(packing, 15, 16), &to_parcels);
    let end = within(
        span(packing, "order confirmed", placed + 16 * SECOND),
        &packed,
    );
    vec![
        request(vec![end]),
        sent((Consumer, "parcels", "packing"), packed),
        sent((Producer, "cards", "shop"), to_cards),
        sent((Producer, "parcels", "payment"), to_parcels),
        request(vec![start]),
        sent((Consumer, "cards", "payment"), paying),
    ]
}

async fn send(api: &Api, requests: Vec<Vec<u8>>) {
    for request in requests {
        assert_eq!(post(&api.client, &api.http, request).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn the_page_and_its_twin_tell_the_wait_in_every_queue() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS.trim_start());
    let service = site.start().await;
    let api = &service.api;
    for wait in [1, 3, 80] {
        send(api, order(wait)).await;
    }
    let told = until("the stages of all three", async || {
        let twin = api.json("/api/v1/slos/orders?range=1h").await;
        let stages = &twin["latency_breakdown"];
        (stages["good_workflows"] == 2 && stages["bad_workflows"] == 1).then_some(twin)
    })
    .await;
    let stages = &told["latency_breakdown"];
    let rows: Vec<_> = stages["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(row)
        .collect();
    assert_eq!(
        rows,
        [
            ("shop".to_owned(), 1.0, 1.0),
            ("wait in cards".to_owned(), 2.0, 80.0),
            ("payment".to_owned(), 2.0, 2.0),
            ("wait in parcels".to_owned(), 2.0, 2.0),
            ("packing".to_owned(), 1.0, 1.0),
        ]
    );
    assert_eq!(stages["good_mean_seconds"], 8.0);
    assert_eq!(stages["bad_mean_seconds"], 86.0);
    assert_eq!(stages["stages"][1]["share_of_excess_ratio"], 1.0);
    let worst = &told["worst_workflows"][0]["stages"];
    assert_eq!(
        (&worst[1]["name"], &worst[1]["seconds"]),
        (&"cards".into(), &80.0.into())
    );

    let page = api.text("/slos/orders?range=1h").await;
    for said in [
        "100 % of the extra time: wait in cards",
        "<th scope=\"row\">wait in parcels</th>",
        "<td class=\"num nw\">1 min 20 s</td>",
        "shop 1 s, wait in cards 1 min 20 s, payment 2 s, wait in parcels 2 s, packing 1 s",
    ] {
        assert!(
            page.contains(said),
            "the page does not say `{said}`: {page}"
        );
    }
}

#[tokio::test]
async fn the_stages_of_a_workflow_are_told_across_the_traces_that_links_join() {
    let database = TestDatabase::create().await;
    let by_links = ORDERS.replace("correlate: [trace]", "correlate: [links]");
    let site = Site::on(&database, by_links.trim_start());
    let service = site.start().await;
    send(&service.api, linked_order()).await;
    let stages = until("the stages", async || {
        let twin = service.api.json("/api/v1/slos/orders?range=1h").await;
        let stages = twin["latency_breakdown"].clone();
        (stages["good_workflows"] == 1).then_some(stages)
    })
    .await;
    let rows = stages["stages"].as_array().unwrap().iter().map(|stage| {
        let name = stage["name"].as_str().unwrap().to_owned();
        (name, stage["good_mean_seconds"].as_f64().unwrap())
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            ("shop".to_owned(), 1.0),
            ("cards".to_owned(), 10.0),
            ("payment".to_owned(), 2.0),
            ("parcels".to_owned(), 2.0),
            ("packing".to_owned(), 1.0),
        ]
    );
}

fn row(stage: &Value) -> (String, f64, f64) {
    let kind = stage["kind"].as_str().unwrap();
    let name = stage["name"].as_str().unwrap();
    let title = match kind {
        "wait" => format!("wait in {name}"),
        _ => name.to_owned(),
    };
    let secs = |key: &str| stage[key].as_f64().unwrap();
    (title, secs("good_mean_seconds"), secs("bad_mean_seconds"))
}

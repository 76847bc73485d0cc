//! From the wire to the page: the real program is sent messages over two queues, out of order.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
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
    (kind, queue, service): (SpanKind, &str, &str),
    (from, to): (u64, u64),
) -> Vec<u8> {
    let message = Span {
        kind: kind.into(),
        attributes: vec![text("messaging.destination.name", queue)],
        end_time_unix_nano: placed + to * SECOND,
        ..span(trace, "message", placed + from * SECOND)
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
        let stages = &twin["where_the_time_goes"];
        (stages["good_workflows"] == 2 && stages["bad_workflows"] == 1).then_some(twin)
    })
    .await;
    let stages = &told["where_the_time_goes"];
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

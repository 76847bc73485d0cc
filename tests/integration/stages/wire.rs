//! From the wire to the page: the real program is sent messages over two queues, out of order.

use serde_json::Value;

use super::world::message;
use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    service::Site,
    span::{SpanBuilder, request, span},
    workload::{ORDERS, minutes_ago, post},
};

/// The spans of an order, none in its place, each in a request of its own.
fn order(wait: f64) -> Vec<SpanBuilder> {
    let trace: [u8; 16] = rand::random();
    let spans = [
        message("parcels", "packing")
            .consumer()
            .between(wait + 5.0, wait + 6.0),
        span("order confirmed").at(wait + 6.0),
        message("cards", "payment")
            .consumer()
            .between(wait + 1.0, wait + 3.0),
        message("cards", "shop").producer().between(0.0, 1.0),
        span("order placed"),
        message("parcels", "payment").producer().at(wait + 3.0),
    ];
    let numbered = (1..).zip(spans);
    numbered
        .map(|(nth, span)| span.trace_of(&trace).id(nth))
        .collect()
}

/// The same order, each hop of which begins a trace of its own that only links to the one before.
fn linked_order() -> Vec<SpanBuilder> {
    let [shop, payment, packing]: [[u8; 16]; 3] = rand::random();
    let start = span("order placed").trace_of(&shop);
    let to_cards = message("cards", "shop")
        .producer()
        .between(0.0, 1.0)
        .below(&start);
    let paying = message("cards", "payment").consumer().between(11.0, 13.0);
    let paying = paying.trace_of(&payment).id(1).after(&to_cards);
    let to_parcels = message("parcels", "payment").producer().at(13.0).id(2);
    let to_parcels = to_parcels.below(&paying);
    let packed = message("parcels", "packing").consumer().between(15.0, 16.0);
    let packed = packed.trace_of(&packing).after(&to_parcels);
    let end = span("order confirmed").at(16.0).below(&packed);
    vec![end, packed, to_cards, to_parcels, start, paying]
}

async fn send(api: &Api, spans: Vec<SpanBuilder>) {
    let placed = minutes_ago(3);
    for span in spans {
        let body = request(&[span], placed);
        assert_eq!(post(&api.client, &api.http, body).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn the_page_and_its_twin_tell_the_wait_in_every_queue() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS.trim_start());
    let service = site.start().await;
    let api = &service.api;
    for wait in [1.0, 3.0, 80.0] {
        send(api, order(wait)).await;
    }
    let told = until("the stages of all three", async || {
        let json_view = api.json("/api/v1/slos/orders?range=1h").await;
        let stages = &json_view["latency_breakdown"];
        (stages["good_workflows"] == 2 && stages["bad_workflows"] == 1).then_some(json_view)
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
        let json_view = service.api.json("/api/v1/slos/orders?range=1h").await;
        let stages = json_view["latency_breakdown"].clone();
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

//! Nothing finishes any more, and nothing says so: the failure that this product is for.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use standardwebhooks::Webhook;
use throughline::domain::model::{counts::EventCounts, ids::TraceId};
use tokio::time::Instant;

use super::orders_with_a_hook;
use crate::support::{
    api::until,
    database::TestDatabase,
    receiver::{Receiver, Request},
    service::Site,
    workload::{now, send},
};

/// 24 bytes, as Standard Webhooks asks for.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const WITHIN: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(3);
const SLACK: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_total_stall_pages_within_the_time_limit_the_grace_and_fifteen_seconds() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let hook = Receiver::start([]).await;
    let definitions = orders_with_a_hook().replace("within: 1m", "within: 5s");
    let site = Site::on(&database, &definitions)
        .variable("HOOK_URL", &format!("{}/slo", hook.url))
        .variable("HOOK_SECRET", SECRET);
    let service = site.start().await;

    let placed = now();
    let traces: Vec<[u8; 16]> = (0..100).map(|_| rand::random()).collect();
    for some in traces.chunks(10) {
        send(&service.api, "order placed", some, placed).await;
    }
    let sent = Instant::now();

    let told = until("the alert", async || hook.requests().into_iter().next()).await;
    let after = sent.elapsed();
    assert!(after <= WITHIN + GRACE + SLACK, "told after {after:?}");
    assert_signed(&told);
    assert_names_the_stall(&told.json(), &traces);
    let expected = EventCounts {
        timeout: 100,
        ..EventCounts::ZERO
    };
    assert_eq!(service.api.counts("orders").await, expected);
}

fn assert_signed(told: &Request) {
    let mut headers = HeaderMap::new();
    for (name, value) in &told.headers {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let verified = Webhook::new(SECRET).unwrap().verify(&told.body, &headers);
    verified.expect("the signature is right");
}

fn assert_names_the_stall(body: &serde_json::Value, traces: &[[u8; 16]]) {
    assert_eq!(body["type"], "slo.alert.firing");
    let data = &body["data"];
    assert_eq!(data["slo"], "orders");
    assert_eq!(data["severity"], "page");
    assert_eq!(data["long_window"]["total"], 100);
    assert_eq!(data["long_window"]["bad"], 100);
    assert_eq!(data["long_window"]["bad_by_reason"]["timeout"], 100);
    let ours: Vec<String> = traces
        .iter()
        .map(|trace| TraceId::from_slice(trace).unwrap().to_string())
        .collect();
    let worst = data["worst_workflows"].as_array().unwrap();
    assert_eq!(worst.len(), 3, "{data}");
    for workflow in worst {
        assert_eq!(workflow["outcome"], "timeout");
        let trace = workflow["trace_id"].as_str().unwrap();
        assert!(ours.iter().any(|one| one == trace), "{trace}");
    }
}

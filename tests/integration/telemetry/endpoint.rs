//! An endpoint that is not there, never answers, or is asked for what cannot be done.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::{net::TcpListener, time::Instant};

use crate::support::{
    api::until,
    database::TestDatabase,
    service::{Service, Site, free_port},
    workload::ORDERS,
};

const DROPPED: &str = "throughline_traces_dropped_spans_total";
const LOGGED: &str = "spans of this service cannot be exported";

async fn dropped(service: &Service) -> f64 {
    service.api.metric(DROPPED).await.expect("the counter")
}

async fn more_are_dropped(service: &Service) {
    let before = dropped(service).await;
    until("dropped spans", async || {
        (dropped(service).await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_away_costs_a_count_and_one_line_of_the_log() {
    let database = TestDatabase::create().await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let site = Site::on(&database, ORDERS)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody)
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let service = site.start().await;
    for _ in 0..3 {
        more_are_dropped(&service).await;
    }
    let said = service.said();
    assert_eq!(said.matches(LOGGED).count(), 1, "{said}");
    service.api.has_ticked("heartbeat").await;
}

/// So long would the end of the service wait for an answer if nothing kept it from doing so.
const TIMEOUT: Duration = Duration::from_mins(10);

#[tokio::test]
async fn an_endpoint_that_never_answers_does_not_keep_the_service_from_ending() {
    let database = TestDatabase::create().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let site = Site::on(&database, ORDERS)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .variable(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            &TIMEOUT.as_millis().to_string(),
        )
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let service = site.start().await;
    let (_export, _) = silent.accept().await.unwrap();
    service.signal(Signal::SIGTERM);
    let told = Instant::now();
    let (status, said) = service.ended().await;
    assert!(status.success(), "{said}");
    assert!(told.elapsed() < Duration::from_secs(20), "{said}");
}

#[tokio::test]
async fn a_protocol_that_is_not_supported_is_named_with_those_that_are() {
    let site = Site::new(ORDERS)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("`http/json`, which is not supported: set it to `http/protobuf` or `grpc`"),
        "{said}"
    );
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_exported_and_nothing_counted() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    assert_eq!(service.api.metric(DROPPED).await, None);
}

//! Spans of requests, transactions, turns of loops and deliveries, as an OTLP endpoint gets them.

use super::{
    orders_with_a_hook,
    sink::{Sink, attribute},
};
use crate::{
    receiver::server::Server,
    support::{
        api::until,
        database::TestDatabase,
        service::{Service, Site},
        workload::ORDERS,
    },
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

/// Exports to `sink`, often.
fn site(database: &TestDatabase, sink: &Sink) -> Site {
    Site::on(database, &orders_with_a_hook(&format!("{}/hook", sink.url)))
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
        .variable(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        )
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100")
}

async fn send_a_test(service: &Service) {
    let url = format!("{}/api/v1/targets/hook/test", service.api.pages);
    let sent = service.api.client.post(url).send().await.unwrap();
    assert!(sent.status().is_success(), "{sent:?}");
}

/// A transaction within `parent`.
fn is_transaction_in<'a>(parent: &'a Span, name: &'a str) -> impl Fn(&Span) -> bool + 'a {
    move |span| span.name == name && span.parent_span_id == parent.span_id
}

#[tokio::test]
async fn a_request_continues_its_callers_trace_and_holds_its_transactions() {
    let (database, sink) = (TestDatabase::create().await, Sink::start().await);
    let site = site(&database, &sink);
    let service = site.start().await;
    let url = format!("{}/api/v1/slos/orders", service.api.pages);
    let asked = service
        .api
        .client
        .get(url)
        .header("traceparent", format!("00-{TRACE:032x}-{PARENT:016x}-01"))
        .send();
    assert_eq!(asked.await.unwrap().status(), 200);

    let request = sink
        .span("the request", |span| {
            span.trace_id == TRACE.to_be_bytes() && span.kind == SpanKind::Server as i32
        })
        .await;
    assert_eq!(request.parent_span_id, PARENT.to_be_bytes());
    assert_eq!(request.name, "GET /api/v1/slos/{slo}");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/slos/{slo}"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(&request.attributes, name), value, "{name}");
    }
    assert_ne!(attribute(&request.attributes, "request_id"), "");

    let transaction = sink
        .span("its transaction", |span| {
            span.parent_span_id == request.span_id
        })
        .await;
    assert_eq!(transaction.trace_id, TRACE.to_be_bytes());
    assert_eq!(transaction.kind, SpanKind::Client as i32);
    let operation = attribute(&transaction.attributes, "db.operation.name");
    assert_eq!(operation, transaction.name);
    assert_eq!(
        attribute(&transaction.attributes, "db.system.name"),
        "postgresql"
    );

    let (headers, resource) = sink.first_export().await;
    assert_eq!(headers["x-tenant"], "shop");
    assert_eq!(attribute(&resource, "service.name"), "throughline");
    assert_eq!(
        attribute(&resource, "service.version"),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(attribute(&resource, "deployment.environment.name"), "test");
}

/// Filters of single layers can lose spans when libraries ask what would be logged.
#[tokio::test]
async fn no_span_is_lost_among_queries() {
    let (database, sink) = (TestDatabase::create().await, Sink::start().await);
    let site = site(&database, &sink);
    let service = site.start().await;
    let url = format!("{}/api/v1/slos/orders", service.api.pages);
    for nth in 0..50 {
        let parent = format!("00-{:032x}-{PARENT:016x}-01", TRACE + nth);
        let asked = service.api.client.get(&url).header("traceparent", parent);
        assert_eq!(asked.send().await.unwrap().status(), 200);
    }
    for nth in 0..50 {
        let trace = (TRACE + nth).to_be_bytes();
        let is_request =
            |span: &Span| span.trace_id == trace && span.kind == SpanKind::Server as i32;
        sink.span("each request", is_request).await;
    }
}

#[tokio::test]
async fn a_turn_of_a_loop_is_a_trace_of_its_own() {
    let (database, sink) = (TestDatabase::create().await, Sink::start().await);
    let site = site(&database, &sink);
    let _service = site.start().await;
    let turn = sink.span("a turn", |span| span.name == "heartbeat").await;
    assert!(turn.parent_span_id.is_empty());
    assert_eq!(
        attribute(&turn.attributes, "throughline.loop.name"),
        "heartbeat"
    );
    let transaction = is_transaction_in(&turn, "record a heartbeat");
    sink.span("its transaction", transaction).await;
}

#[tokio::test]
async fn an_attempt_to_deliver_names_its_target_and_result() {
    let (database, sink) = (TestDatabase::create().await, Sink::start().await);
    let site = site(&database, &sink);
    let service = site.start().await;
    send_a_test(&service).await;

    let attempt = sink
        .span("an attempt", |span| span.name == "deliver webhook")
        .await;
    assert_eq!(attempt.kind, SpanKind::Client as i32);
    for (name, value) in [
        ("notify.target", "hook"),
        ("notify.kind", "webhook"),
        ("notify.result", "delivered"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
    ] {
        assert_eq!(attribute(&attempt.attributes, name), value, "{name}");
    }
    let turn = sink
        .span("the turn at the target", |span| {
            span.span_id == attempt.parent_span_id
        })
        .await;
    assert_eq!(turn.name, "deliver");
    sink.span("the claim", is_transaction_in(&turn, "claim deliveries"))
        .await;
    sink.span(
        "the settlement",
        is_transaction_in(&turn, "settle a delivery"),
    )
    .await;
    until("its duration", async || {
        let duration = "throughline_delivery_attempt_duration_seconds_count";
        let sample = format!("{duration}{{kind=\"webhook\",result=\"delivered\"}}");
        service.api.metric(&sample).await
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_failed_is_an_error() {
    let (database, sink) = (TestDatabase::create().await, Sink::start().await);
    let site = Site::on(
        &database,
        &orders_with_a_hook(&format!("{}/gone", sink.url)),
    )
    .variable(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        &format!("{}/v1/traces", sink.url),
    )
    .variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let service = site.start().await;
    send_a_test(&service).await;
    let attempt = sink
        .span("an attempt", |span| span.name == "deliver webhook")
        .await;
    assert_eq!(attempt.status.unwrap().code, StatusCode::Error as i32);
    assert_eq!(
        attribute(&attempt.attributes, "http.response.status_code"),
        "404"
    );
    let error = attribute(&attempt.attributes, "error.type");
    assert_eq!(error, attribute(&attempt.attributes, "notify.result"));
    assert_ne!(error, "delivered");
}

#[tokio::test]
async fn spans_are_exported_by_grpc_too() {
    let (database, collector) = (TestDatabase::create().await, Server::start().await);
    let site = Site::on(&database, ORDERS)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.grpc)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let service = site.start().await;
    until("a turn", async || {
        let names = collector.committed();
        names.contains(&"heartbeat".to_owned()).then_some(())
    })
    .await;
    // It is counted once the answer is back.
    until("the count", async || {
        let exported = "throughline_traces_exported_spans_total";
        (service.api.metric(exported).await > Some(0.0)).then_some(())
    })
    .await;
    let dropped = "throughline_traces_dropped_spans_total";
    assert_eq!(service.api.metric(dropped).await, Some(0.0));
}

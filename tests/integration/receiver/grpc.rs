//! OTLP/gRPC: calls, codes and what makes clients repeat.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use reqwest::Response;
use throughline::{ingest::limits::ReceiverLimits, server::limits::ConnectionLimits};
use tokio::sync::Semaphore;
use tonic::{
    Code, Status,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};
use tonic_types::{StatusExt as _, pb::RetryInfo};

use super::server::{Commits, Server, body, h2_client, request, span};

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::from_shared(server.grpc.clone()).unwrap()
}

async fn connect(server: &Server) -> TraceServiceClient<Channel> {
    let channel = endpoint(server).connect().await.unwrap();
    TraceServiceClient::new(channel).max_encoding_message_size(usize::MAX)
}

async fn refused(server: &Server, names: &[&str]) -> Status {
    let spans = names.iter().map(|name| span(name)).collect();
    let mut client = connect(server).await;
    client.export(request(spans)).await.unwrap_err()
}

/// A call with a body that no client would send. The errors come in the head of the reply.
async fn raw(
    server: &Server,
    method: &str,
    headers: &[(&'static str, &str)],
    body: Vec<u8>,
) -> Response {
    let url = format!(
        "{}/opentelemetry.proto.collector.{method}/Export",
        server.grpc
    );
    let mut request = h2_client()
        .post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.unwrap()
}

fn code(response: &Response) -> Code {
    assert_eq!(response.status(), 200);
    Code::from_bytes(response.headers()["grpc-status"].as_bytes())
}

fn framed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[compressed], length.as_slice(), message].concat()
}

const TRACES: &str = "trace.v1.TraceService";

#[tokio::test]
async fn spans_are_committed_and_partial_success_is_unset() {
    let server = Server::start().await;
    let mut client = connect(&server).await;
    let reply = client.export(request(vec![span("a"), span("b")])).await;
    assert_eq!(reply.unwrap().into_inner().partial_success, None);
    let empty = client.export(request(vec![])).await.unwrap();
    assert_eq!(empty.into_inner().partial_success, None);
    assert_eq!(server.committed(), ["a", "b"]);
}

#[tokio::test]
async fn compressed_messages_are_taken() {
    let server = Server::start().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = connect(&server).await.send_compressed(encoding);
        client.export(request(vec![span("a")])).await.unwrap();
    }
    assert_eq!(server.committed(), ["a", "a"]);
}

#[tokio::test]
async fn an_unknown_compression_is_unimplemented_and_told_what_is_known() {
    let server = Server::start().await;
    let encoding = [("grpc-encoding", "snappy")];
    let response = raw(&server, TRACES, &encoding, framed(1, &body(&["a"]))).await;
    assert_eq!(code(&response), Code::Unimplemented);
    assert_eq!(
        response.headers()["grpc-accept-encoding"],
        "identity,gzip,zstd,deflate"
    );
}

#[tokio::test]
async fn bad_spans_are_refused_alone() {
    let server = Server::start().await;
    let mut bad = span("bad");
    bad.trace_id.clear();
    let spans = vec![span("good"), bad, span("refuse")];
    let reply = connect(&server).await.export(request(spans)).await.unwrap();
    let partial = reply.into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(
        partial
            .error_message
            .starts_with("2 spans refused: trace id is not")
    );
    assert_eq!(server.committed(), ["good"]);
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_and_not_to_be_repeated() {
    let limits = ReceiverLimits {
        body_bytes: 100_000,
        ..ReceiverLimits::default()
    };
    let server = Server::within(limits).await;
    let large = request(vec![span(&"x".repeat(1_000_000))]);
    let mut plain = connect(&server).await;
    let mut compressed = plain.clone().send_compressed(CompressionEncoding::Gzip);
    for reply in [
        plain.export(large.clone()).await,
        compressed.export(large).await,
    ] {
        let status = reply.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().is_none());
        assert!(
            status
                .metadata()
                .get_bin("google.rpc.retryinfo-bin")
                .is_none()
        );
    }
    plain.export(request(vec![span("small")])).await.unwrap();
    assert_eq!(server.committed(), ["small"]);
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_with_the_delay_in_both_places() {
    let server = Server::that_commits(Commits::Never).await;
    let status = refused(&server, &["a"]).await;
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(7)));
    let for_python = status
        .metadata()
        .get_bin("google.rpc.retryinfo-bin")
        .unwrap();
    let retry_info = RetryInfo::decode(for_python.to_bytes().unwrap()).unwrap();
    assert_eq!(retry_info.retry_delay.unwrap().seconds, 7);
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_unavailable_in_time() {
    let limits = ReceiverLimits {
        reply_within: Duration::from_millis(50),
        ..ReceiverLimits::default()
    };
    let never = Commits::When(Arc::new(Semaphore::new(0)));
    let server = Server::with(never, limits).await;
    let status = refused(&server, &["a"]).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
}

#[tokio::test]
async fn too_many_requests_at_once_are_unavailable_with_a_delay() {
    let limits = ReceiverLimits {
        requests: 0,
        ..ReceiverLimits::default()
    };
    let server = Server::within(limits).await;
    let status = refused(&server, &["a"]).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
}

#[tokio::test]
async fn malformed_messages_are_invalid_arguments_with_the_reason() {
    let server = Server::start().await;
    let whole = body(&["a"]);
    let compressed = [("grpc-encoding", "gzip")];
    for (headers, body, reason) in [
        (
            &[][..],
            framed(0, &whole[..whole.len() - 1]),
            "ends in the middle",
        ),
        (&[], vec![], "no message"),
        (&[], framed(0, &whole)[..20].to_vec(), "length"),
        (
            &[],
            [framed(0, &whole), framed(0, &whole)].concat(),
            "length",
        ),
        (&[], framed(1, &whole), "without naming an encoding"),
        (&[], framed(9, &whole), "neither 0 nor 1"),
        (&compressed, framed(1, &whole), "decompressed"),
    ] {
        let response = raw(&server, TRACES, headers, body).await;
        assert_eq!(code(&response), Code::InvalidArgument, "{reason}");
        let status = Status::from_header_map(response.headers()).unwrap();
        assert!(status.message().contains(reason), "{status:?}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1);
    }
    assert!(server.committed().is_empty());
}

#[tokio::test]
async fn metrics_and_logs_are_unimplemented() {
    let server = Server::start().await;
    for method in ["metrics.v1.MetricsService", "logs.v1.LogsService"] {
        let response = raw(&server, method, &[], framed(0, &[])).await;
        assert_eq!(code(&response), Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_panic_is_internal_and_the_next_call_is_served() {
    let server = Server::start().await;
    let status = refused(&server, &["panic"]).await;
    assert_eq!(status.code(), Code::Internal);
    let mut client = connect(&server).await;
    client.export(request(vec![span("a")])).await.unwrap();
}

#[tokio::test]
async fn a_client_that_pings_all_the_time_is_not_sent_away() {
    let server = Server::start().await;
    let channel = endpoint(&server)
        .http2_keep_alive_interval(Duration::from_millis(10))
        .keep_alive_while_idle(true)
        .connect()
        .await
        .unwrap();
    let mut client = TraceServiceClient::new(channel);
    client.export(request(vec![span("a")])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.export(request(vec![span("b")])).await.unwrap();
    assert_eq!(server.committed(), ["a", "b"]);
}

#[tokio::test]
async fn an_old_connection_is_closed_and_no_call_is_lost_by_it() {
    let limits = ReceiverLimits {
        connections: ConnectionLimits {
            connection_age: Duration::from_millis(20),
            ..ConnectionLimits::default()
        },
        ..ReceiverLimits::default()
    };
    let server = Server::within(limits).await;
    let mut client = connect(&server).await;
    let names: Vec<_> = (10..60).map(|number| number.to_string()).collect();
    for name in &names {
        export_as_otlp_says(&mut client, name).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut committed = server.committed();
    committed.dedup();
    assert_eq!(committed, names);
}

/// A call that meets the end of its connection is cancelled by the client itself, and OTLP has it
/// sent again.
async fn export_as_otlp_says(client: &mut TraceServiceClient<Channel>, name: &str) {
    while let Err(status) = client.export(request(vec![span(name)])).await {
        assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    }
}

#[tokio::test]
async fn many_calls_on_one_connection_are_served_at_once() {
    let ready = Arc::new(Semaphore::new(0));
    let server = Server::that_commits(Commits::When(Arc::clone(&ready))).await;
    let client = connect(&server).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut client = client.clone();
        calls.spawn(async move { client.export(request(vec![span("a")])).await.unwrap() });
    }
    ready.add_permits(100);
    assert_eq!(calls.join_all().await.len(), 100);
    assert_eq!(server.committed().len(), 100);
}

async fn checked(server: &Server, service: &str) -> (Code, Vec<u8>) {
    let mut message = vec![0x0a, u8::try_from(service.len()).unwrap()];
    message.extend(service.as_bytes());
    let request = h2_client()
        .post(format!("{}/grpc.health.v1.Health/Check", server.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let response = request.body(framed(0, &message)).send().await.unwrap();
    let code = response.headers().get("grpc-status");
    let code = code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    (code, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_probe_is_told_that_the_receiver_serves() {
    let server = Server::start().await;
    let serving = framed(0, &[1 << 3, 1]);
    for service in ["", "opentelemetry.proto.collector.trace.v1.TraceService"] {
        assert_eq!(checked(&server, service).await, (Code::Ok, serving.clone()));
    }
    assert_eq!(checked(&server, "other").await.0, Code::NotFound);
}

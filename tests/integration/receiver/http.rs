//! OTLP/HTTP: paths, types, encodings, replies and errors.

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceResponse,
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use reqwest::{Method, Response};
use throughline::ingest::limits::ReceiverLimits;
use tokio::sync::Semaphore;
use tonic_types::Status;

use super::server::{Commits, Server, body, client, h2_client, request, span};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn post(url: String, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = client().post(url).header("content-type", content_type);
    request.body(body).send().await.unwrap()
}

async fn post_encoded(server: &Server, encoding: &str, body: Vec<u8>) -> Response {
    client()
        .post(server.traces())
        .header("content-type", PROTOBUF)
        .header("content-encoding", encoding)
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn decoded(response: Response) -> ExportTraceServiceResponse {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], PROTOBUF);
    ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap()
}

/// What every error says in its body, in the format of its request.
async fn refused(response: Response, status: u16, content_type: &str) -> Status {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], content_type);
    let body = response.bytes().await.unwrap();
    if content_type == PROTOBUF {
        return Status::decode(body).unwrap();
    }
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    Status {
        code: i32::try_from(json["code"].as_i64().unwrap()).unwrap(),
        message: json["message"].as_str().unwrap().to_owned(),
        details: Vec::new(),
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut writer = ZlibEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut writer = DeflateEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn spans_are_committed_and_the_reply_is_empty_in_the_format_of_the_request() {
    let server = Server::start().await;
    let response = post(server.traces(), PROTOBUF, body(&["a", "b"])).await;
    assert_eq!(decoded(response).await.partial_success, None);
    let response = post(server.traces(), JSON, "{}").await;
    assert_eq!(response.headers()["content-type"], JSON);
    assert_eq!(response.text().await.unwrap(), "{}");
    assert_eq!(server.committed(), ["a", "b"]);
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_on_the_same_port() {
    let server = Server::start().await;
    let request = h2_client()
        .post(server.traces())
        .header("content-type", PROTOBUF);
    let response = request.body(body(&["a"])).send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(decoded(response).await.partial_success, None);
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn an_endpoint_for_traces_without_a_path_posts_to_the_root() {
    let server = Server::start().await;
    decoded(post(server.http.clone(), PROTOBUF, body(&["a"])).await).await;
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn an_empty_request_and_empty_envelopes_succeed() {
    let server = Server::start().await;
    for body in [vec![], request(vec![]).encode_to_vec()] {
        let reply = decoded(post(server.traces(), PROTOBUF, body).await).await;
        assert_eq!(reply.partial_success, None);
    }
}

#[tokio::test]
async fn content_types_are_taken_in_either_case_and_with_parameters() {
    let server = Server::start().await;
    for content_type in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json;charset=utf-8",
    ] {
        let response = post(server.traces(), content_type, "{}").await;
        assert_eq!(response.status(), 200, "{content_type}");
        assert_eq!(response.headers()["content-type"], JSON);
    }
    for content_type in ["Application/X-Protobuf", "application/x-protobuf ; a=b"] {
        decoded(post(server.traces(), content_type, "").await).await;
    }
}

#[tokio::test]
async fn other_content_types_and_none_are_415_in_plain_text() {
    let server = Server::start().await;
    let none = client().post(server.traces()).send().await.unwrap();
    let xml = post(server.traces(), "text/xml", "").await;
    for response in [none, xml] {
        assert_eq!(response.status(), 415);
        let content_type = response.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
    }
}

#[tokio::test]
async fn only_post_is_answered() {
    let server = Server::start().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let response = client()
            .request(method, server.traces())
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["allow"], "POST");
        refused(response, 405, JSON).await;
    }
}

#[tokio::test]
async fn other_paths_are_404_and_never_redirected() {
    let server = Server::start().await;
    for path in [
        "/v1/traces/",
        "//v1/traces",
        "/v1/metrics",
        "/v1/logs",
        "/v1",
    ] {
        let response = post(format!("{}{path}", server.http), PROTOBUF, "").await;
        let status = refused(response, 404, PROTOBUF).await;
        assert!(status.message.contains("/v1/traces"), "{}", status.message);
    }
}

#[tokio::test]
async fn every_usual_compression_is_taken() {
    let server = Server::start().await;
    let plain = body(&["a"]);
    for (encoding, body) in [
        ("identity", plain.clone()),
        ("none", plain.clone()),
        ("gzip", gzip(&plain)),
        ("GZIP", gzip(&plain)),
        ("deflate", zlib(&plain)),
        // Without the frame of zlib, as some senders do.
        ("deflate", raw_deflate(&plain)),
        ("gzip, identity", gzip(&plain)),
        ("identity,gzip", gzip(&plain)),
        ("zstd", zstd::encode_all(plain.as_slice(), 0).unwrap()),
    ] {
        decoded(post_encoded(&server, encoding, body).await).await;
    }
    assert_eq!(server.committed(), ["a"; 9]);
}

#[tokio::test]
async fn a_large_compressed_body_is_read_like_a_small_one() {
    let server = Server::start().await;
    let random_name = |n: u64| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let names: Vec<String> = (0..20_000).map(random_name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let body = gzip(&body(&names));
    assert!(body.len() > 100_000);
    decoded(post_encoded(&server, "gzip", body).await).await;
    assert_eq!(server.committed().len(), 20_000);
}

#[tokio::test]
async fn an_unknown_or_broken_compression_is_400_with_a_status() {
    let server = Server::start().await;
    for encoding in ["snappy", "br", "gzip, gzip"] {
        let response = post_encoded(&server, encoding, body(&["a"])).await;
        let status = refused(response, 400, PROTOBUF).await;
        assert!(status.message.contains(encoding), "{}", status.message);
    }
    let response = post_encoded(&server, "gzip", body(&["a"])).await;
    refused(response, 400, PROTOBUF).await;
    assert!(server.committed().is_empty());
}

fn small() -> ReceiverLimits {
    ReceiverLimits {
        body_bytes: 1_000,
        ..ReceiverLimits::default()
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_before_decompression_and_after() {
    let server = Server::within(small()).await;
    let fits = vec![span(&"x".repeat(900))];
    decoded(post(server.traces(), PROTOBUF, request(fits).encode_to_vec()).await).await;
    let large = request(vec![span(&"x".repeat(1_000))]).encode_to_vec();
    let plain = post(server.traces(), PROTOBUF, large.clone()).await;
    let status = refused(plain, 413, PROTOBUF).await;
    assert!(status.message.contains("1000 bytes"), "{}", status.message);
    let compressed = gzip(&large);
    assert!(compressed.len() < 200);
    refused(
        post_encoded(&server, "gzip", compressed).await,
        413,
        PROTOBUF,
    )
    .await;
    let json = format!(r#"{{"a": "{}"}}"#, "x".repeat(1_000));
    refused(post(server.traces(), JSON, json).await, 413, JSON).await;
    assert_eq!(server.committed().len(), 1);
}

#[test]
fn the_limit_is_64_mib_unless_set() {
    assert_eq!(ReceiverLimits::default().body_bytes, 64 * 1024 * 1024);
}

#[tokio::test]
async fn bad_spans_are_refused_alone_with_their_number_and_the_reasons() {
    let server = Server::start().await;
    let spans = vec![
        span("good"),
        Span {
            trace_id: vec![0; 16],
            ..span("zero")
        },
        Span {
            span_id: vec![1; 7],
            ..span("short")
        },
        span("refused by the door"),
        span("good too"),
    ];
    let body = request(spans).encode_to_vec();
    let reply = decoded(post(server.traces(), PROTOBUF, body).await).await;
    let partial = reply.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 3);
    assert_eq!(
        partial.error_message,
        "3 spans refused: trace id is not 16 bytes with a bit set (1 span); span id is not 8 bytes \
         with a bit set (1 span); refused by the door (1 span)"
    );
    assert_eq!(server.committed(), ["good", "good too"]);
}

#[tokio::test]
async fn a_reply_stays_small_whatever_was_refused() {
    let server = Server::start().await;
    let name = |n: u32| format!("refuse {n} {}", "x".repeat(1_000));
    let spans = (0..10_000).map(|n| span(&name(n))).collect();
    let response = post(server.traces(), PROTOBUF, request(spans).encode_to_vec()).await;
    assert!(response.content_length().unwrap() < 4_096);
    let partial = decoded(response).await.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 10_000);
}

#[tokio::test]
async fn values_may_be_empty_bytes_nested_or_mixed_and_names_may_be_empty() {
    let server = Server::start().await;
    let any = |value| AnyValue { value };
    let mixed = vec![
        any(None),
        any(Some(Value::IntValue(1))),
        any(Some(Value::StringValue("x".to_owned()))),
    ];
    let values = [
        None,
        Some(Value::BytesValue(vec![0, 255])),
        Some(Value::ArrayValue(ArrayValue { values: mixed })),
        Some(Value::KvlistValue(KeyValueList {
            values: vec![KeyValue::default()],
        })),
        Some(Value::StringValueStrindex(3)),
    ];
    let attribute = |value| KeyValue {
        key: "a".to_owned(),
        value: Some(any(value)),
        key_strindex: 1,
    };
    let attributes = values.into_iter().map(attribute).collect();
    let flags = 0xffff_ffff;
    let spans = vec![Span {
        attributes,
        flags,
        ..span("")
    }];
    let body = request(spans).encode_to_vec();
    let reply = decoded(post(server.traces(), PROTOBUF, body).await).await;
    assert_eq!(reply.partial_success, None);
    assert_eq!(server.committed(), [""]);
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = Server::start().await;
    let mut body = body(&["a"]);
    // Field 99, a string.
    body.extend([0x9a, 0x06, 3, b'n', b'e', b'w']);
    decoded(post(server.traces(), PROTOBUF, body).await).await;
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn a_broken_body_is_400_with_a_status_in_its_own_format() {
    let server = Server::start().await;
    let whole = body(&["a", "b"]);
    let cut = whole[..whole.len() - 1].to_vec();
    let status = refused(post(server.traces(), PROTOBUF, cut).await, 400, PROTOBUF).await;
    assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
    let status = refused(post(server.traces(), JSON, "{").await, 400, JSON).await;
    assert!(status.message.contains("JSON"), "{}", status.message);
    assert!(server.committed().is_empty());
}

#[tokio::test]
async fn a_request_is_read_again_if_the_definitions_change_before_its_commit() {
    let server = Server::that_commits(Commits::AfterNews(Arc::default())).await;
    let response = post(server.traces(), PROTOBUF, body(&["a", "b"])).await;
    assert_eq!(response.status(), 200);
    assert_eq!(server.committed(), ["a", "b"]);
}

#[tokio::test]
async fn a_database_that_is_away_is_503_with_the_time_to_wait() {
    let server = Server::that_commits(Commits::Never).await;
    for (content_type, body) in [(PROTOBUF, body(&["a"])), (JSON, b"{}".to_vec())] {
        let response = post(server.traces(), content_type, body).await;
        assert_eq!(response.headers()["retry-after"], "7");
        let status = refused(response, 503, content_type).await;
        assert_eq!(status.code, tonic::Code::Unavailable as i32);
        assert!(status.message.contains("the database is away"));
    }
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_503_in_time() {
    let limits = ReceiverLimits {
        reply_within: Duration::from_millis(50),
        ..ReceiverLimits::default()
    };
    let never = Commits::When(Arc::new(Semaphore::new(0)));
    let server = Server::with(never, limits).await;
    let response = post(server.traces(), PROTOBUF, body(&["a"])).await;
    assert_eq!(response.headers()["retry-after"], "1");
    refused(response, 503, PROTOBUF).await;
}

#[test]
fn a_reply_takes_less_than_three_seconds_unless_set() {
    assert!(ReceiverLimits::default().reply_within < Duration::from_secs(3));
}

#[tokio::test]
async fn the_reply_comes_after_the_commit_and_not_before() {
    let ready = Arc::new(Semaphore::new(0));
    let server = Server::that_commits(Commits::When(Arc::clone(&ready))).await;
    let mut reply = std::pin::pin!(post(server.traces(), PROTOBUF, body(&["a"])));
    tokio::select! {
        early = &mut reply => panic!("{early:?}"),
        () = server.has_a_batch() => {}
    }
    assert!(server.committed().is_empty());
    ready.add_permits(1);
    decoded(reply.await).await;
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn the_same_request_twice_and_many_at_once_are_all_handed_on() {
    let server = Server::start().await;
    let bodies = ["a", "a", "b", "c", "d", "e"].map(|name| body(&[name; 500]));
    let posts = bodies.map(|body| post(server.traces(), PROTOBUF, body));
    let mut all = tokio::task::JoinSet::new();
    for post in posts {
        all.spawn(post);
    }
    for response in all.join_all().await {
        assert_eq!(decoded(response).await.partial_success, None);
    }
    assert_eq!(server.committed().len(), 3_000);
}

async fn preflight(server: &Server, origin: &str) -> Response {
    client()
        .request(Method::OPTIONS, server.traces())
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-own")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn pages_of_allowed_origins_may_send_and_read_how_long_to_wait() {
    let server = Server::that_commits(Commits::Never).await;
    let origin = "https://www.shop.example";
    let headers = preflight(&server, origin).await.headers().clone();
    assert_eq!(headers["access-control-allow-origin"], origin);
    assert_eq!(headers["access-control-allow-credentials"], "true");
    assert_eq!(headers["access-control-allow-methods"], "POST");
    assert_eq!(
        headers["access-control-allow-headers"],
        "content-type,x-own"
    );
    let request = client().post(server.traces()).header("origin", origin);
    let response = request.header("content-type", JSON).body("{}").send();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    assert_eq!(
        response.headers()["access-control-expose-headers"],
        "retry-after"
    );
    refused(response, 503, JSON).await;
    let other = preflight(&server, "https://shop.evil.example").await;
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn requests_are_counted_by_result_from_zero_and_refused_senders_are_named() {
    let server = Server::start().await;
    for result in ["committed", "too_large", "media_type", "unknown_encoding"] {
        assert_eq!(server.requests(result), Some(0), "{result}");
    }
    decoded(post(server.traces(), PROTOBUF, body(&["a"])).await).await;
    for _ in 0..3 {
        post_encoded(&server, "br", body(&["a"])).await;
    }
    post(server.traces(), "text/xml", "").await;
    post(server.traces(), PROTOBUF, vec![0xff]).await;
    post(format!("{}/v1/logs", server.http), PROTOBUF, "").await;
    for (result, requests) in [
        ("committed", 1),
        ("unknown_encoding", 3),
        ("media_type", 1),
        ("malformed", 1),
        ("no_such_path", 1),
        ("too_large", 0),
    ] {
        assert_eq!(server.requests(result), Some(requests), "{result}");
    }
    assert_eq!(
        server.refused.sentences(),
        ["127.0.0.1: `br` is not a supported encoding: use gzip, zstd, deflate or none."]
    );
}

//! OTLP/JSON on the wire; the many ways to write it are tested beside the code.

use serde_json::{Value as Json, json};

use super::server::{Server, client};

fn span(trace_id: &str, name: &str) -> Json {
    json!({
        "traceId": trace_id, "spanId": "EEE19B7EC3C1B174", "name": name,
        "startTimeUnixNano": "1", "endTimeUnixNano": 2, "unknownField": {"a": [1]},
        "attributes": [{"key": "empty", "value": {}}, {"key": "large", "value": {"intValue": 1e21}}],
    })
}

async fn post(server: &Server, spans: &[Json]) -> Json {
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    let request = client()
        .post(server.traces())
        .header("content-type", "application/json; charset=utf-8");
    let response = request.body(body.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn spans_in_json_are_committed() {
    let server = Server::start().await;
    let reply = post(&server, &[span("5B8EFFF798038103D269B633813FC60C", "a")]).await;
    assert_eq!(reply, json!({}));
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn base64_ids_are_refused_alone_with_a_clear_reason() {
    let server = Server::start().await;
    let spans = [
        span("5b8efff798038103d269b633813fc60c", "a"),
        span("W47/95gDgQPSabYzgT/GDA==", "b"),
    ];
    let reply = post(&server, &spans).await;
    let partial = &reply["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "1");
    let reason = partial["errorMessage"].as_str().unwrap();
    assert!(reason.contains("base64 is not taken"), "{reason}");
    assert_eq!(server.committed(), ["a"]);
}

#[tokio::test]
async fn a_large_body_in_json_is_read_like_a_small_one() {
    let server = Server::start().await;
    let spans = vec![span("5b8efff798038103d269b633813fc60c", "a"); 1_000];
    assert_eq!(post(&server, &spans).await, json!({}));
    assert_eq!(server.committed().len(), 1_000);
}

#[tokio::test]
async fn what_is_sent_instead_of_traces_is_a_warning_and_counted() {
    let server = Server::start().await;
    let request = client()
        .post(server.traces())
        .header("content-type", "application/json");
    let body = json!({"resourceLogs": [{}]}).to_string();
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let reply: Json = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(
        reply,
        json!({"partialSuccess": {
            "rejectedSpans": "0",
            "errorMessage": "these look like logs: only traces are accepted here",
        }})
    );
    assert_eq!(server.requests("without_traces"), Some(1));
}

//! Senders that must show a token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message as _;
use reqwest::Response;
use throughline::{
    clock::{Clock, ManualClock},
    domain::{
        access::{AccessRole, AllowedServices, ApiToken, KnownTokens, TokenGrant, TokenRecord},
        model::time::Timestamp,
    },
    ingest::server::{limits::ReceiverLimits, senders::SenderAccess},
};
use tokio::sync::watch;
use tonic::{Code, Request, transport::Endpoint};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::server::{Commits, Server, client, request, span};

fn anything() -> ApiToken {
    ApiToken::from_random([1; 32])
}

fn only_the_shop() -> ApiToken {
    ApiToken::from_random([2; 32])
}

fn an_admin() -> ApiToken {
    ApiToken::from_random([3; 32])
}

/// A server that takes spans with these tokens only.
async fn guarded() -> Server {
    let now = Timestamp::from_secs(1_795_328_280);
    let record = |name: &str, grant| TokenRecord {
        id: Uuid::nil(),
        name: name.to_owned(),
        grant,
        created_at: now,
        expires_at: now + Duration::from_hours(1),
        revoked_at: None,
    };
    let shop = AllowedServices::Only(BTreeSet::from(["shop".to_owned()]));
    let tokens = KnownTokens::from_iter([
        (
            anything().digest(),
            record("gateway", TokenGrant::Sender(AllowedServices::All)),
        ),
        (
            only_the_shop().digest(),
            record("shop", TokenGrant::Sender(shop)),
        ),
        (
            an_admin().digest(),
            record("dana", TokenGrant::User(AccessRole::Admin.into())),
        ),
    ]);
    let (_, tokens) = watch::channel(Arc::new(tokens));
    let clock = Clock::Manual(ManualClock::new(now));
    Server::admitting((Commits::AtOnce, ReceiverLimits::default()), |metrics| {
        SenderAccess::by_token(tokens, clock, metrics.clone())
    })
    .await
}

/// One span of each service, named like it.
fn spans_of(services: &[&str]) -> ExportTraceServiceRequest {
    let of_service = |service: &&str| {
        let mut resource_spans = request(vec![span(service)]).resource_spans.remove(0);
        let name = Value::StringValue((*service).to_owned());
        resource_spans.resource = Some(Resource {
            attributes: vec![KeyValue {
                key: "service.name".to_owned(),
                value: Some(AnyValue { value: Some(name) }),
                ..KeyValue::default()
            }],
            ..Resource::default()
        });
        resource_spans
    };
    ExportTraceServiceRequest {
        resource_spans: services.iter().map(of_service).collect(),
    }
}

async fn post(server: &Server, token: Option<&ApiToken>) -> Response {
    let mut sending = client()
        .post(server.traces())
        .header("content-type", "application/x-protobuf");
    if let Some(token) = token {
        sending = sending.bearer_auth(token.reveal());
    }
    let body = spans_of(&["shop", "bank"]).encode_to_vec();
    sending.body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_sender_without_a_token_that_is_good_for_it_is_401_with_the_reason() {
    let server = guarded().await;
    let unknown = ApiToken::from_random([9; 32]);
    for (token, reason) in [
        (None, "there is no token"),
        (Some(unknown), "this token is unknown here"),
        (
            Some(an_admin()),
            "the token `dana` is not for sending spans",
        ),
    ] {
        let response = post(&server, token.as_ref()).await;
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"throughline\""
        );
        let body = response.bytes().await.unwrap();
        let status = tonic_types::Status::decode(body).unwrap();
        assert!(status.message.starts_with(reason), "{}", status.message);
        assert!(
            status.message.contains("throughline token create"),
            "{}",
            status.message
        );
    }
    assert_eq!(server.committed(), [""; 0]);
    assert_eq!(server.requests("unauthenticated"), Some(3));
    for reason in ["missing", "unknown", "wrong_kind"] {
        let sample =
            format!("throughline_auth_failures_total{{port=\"otlp_http\",reason=\"{reason}\"}} 1");
        assert!(server.metrics().contains(&sample), "no {sample}");
    }
    assert_eq!(server.refused.sentences().len(), 1, "a self-check names it");
}

#[tokio::test]
async fn a_call_without_a_token_is_unauthenticated_and_health_is_not() {
    let server = guarded().await;
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap();
    let mut client = TraceServiceClient::new(channel.connect().await.unwrap());
    let refused = client.export(spans_of(&["shop"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(
        refused.message().starts_with("there is no token: send"),
        "{refused}"
    );
    let mut call = Request::new(spans_of(&["shop"]));
    let bearer = format!("Bearer {}", anything().reveal());
    call.metadata_mut()
        .insert("authorization", bearer.parse().unwrap());
    client.export(call).await.unwrap();
    assert_eq!(server.committed(), ["shop"]);
}

#[tokio::test]
async fn a_call_from_a_blocked_address_is_to_be_tried_again_when_it_may_be() {
    let server = guarded().await;
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap();
    let mut client = TraceServiceClient::new(channel.connect().await.unwrap());
    let mut call = async |token: ApiToken| {
        let mut call = Request::new(spans_of(&["shop"]));
        let bearer = format!("Bearer {}", token.reveal());
        call.metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        client.export(call).await.unwrap_err()
    };
    for _ in 0..10 {
        let wrong = call(ApiToken::from_random([9; 32])).await;
        assert_eq!(wrong.code(), Code::Unauthenticated);
        assert!(wrong.get_details_retry_info().is_none());
    }
    let blocked = call(anything()).await;
    assert_eq!(blocked.code(), Code::ResourceExhausted);
    let retry = blocked.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_mins(1)));
    assert!(blocked.metadata().contains_key("google.rpc.retryinfo-bin"));
}

#[tokio::test]
async fn spans_of_services_that_a_token_does_not_cover_are_refused_alone() {
    let server = guarded().await;
    let response = post(&server, Some(&only_the_shop())).await;
    assert_eq!(response.status(), 200);
    let body = response.bytes().await.unwrap();
    let reply = ExportTraceServiceResponse::decode(body).unwrap();
    let partial = reply.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert_eq!(
        partial.error_message,
        "1 span refused: the token does not cover the service `bank` (1 span)"
    );
    assert_eq!(server.committed(), ["shop"]);
    let all = post(&server, Some(&anything()))
        .await
        .bytes()
        .await
        .unwrap();
    let all = ExportTraceServiceResponse::decode(all).unwrap();
    assert_eq!(all.partial_success, None);
}

#[tokio::test]
async fn too_many_wrong_tokens_block_their_address_and_no_sender_that_was_there_before() {
    let server = guarded().await;
    assert_eq!(post(&server, Some(&anything())).await.status(), 200);
    let wrong = ApiToken::from_random([9; 32]);
    for _ in 0..10 {
        assert_eq!(post(&server, Some(&wrong)).await.status(), 401);
    }
    let blocked = post(&server, Some(&only_the_shop())).await;
    assert_eq!(blocked.status(), 429, "its spans are not lost");
    assert_eq!(blocked.headers()["retry-after"], "60");
    assert!(!blocked.headers().contains_key("www-authenticate"));
    let status = tonic_types::Status::decode(blocked.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, Code::ResourceExhausted as i32);
    let message = "too many wrong tokens came from this address; try again in 60 s";
    assert_eq!(status.message, message);
    assert_eq!(server.requests("blocked"), Some(1));
    assert_eq!(post(&server, Some(&anything())).await.status(), 200);
}

//! A receiver of OTLP/HTTP that keeps what it gets, and of webhooks that takes them all.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinSet};

use crate::support::api::until;

#[derive(Clone, Debug, Default)]
struct Received {
    requests: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) url: String,
    received: Received,
    _server: JoinSet<()>,
}

impl Sink {
    pub(super) async fn start() -> Self {
        let received = Received::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/hook", post(async || "ok"))
            .with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            received,
            _server: server,
        }
    }

    /// The headers of the first export, and its resource.
    pub(super) async fn first_export(&self) -> (HeaderMap, Vec<KeyValue>) {
        until("an export", async || {
            let requests = self.received.requests.lock().unwrap();
            let (headers, request) = requests.first()?;
            let resource = request.resource_spans[0].resource.clone();
            Some((headers.clone(), resource.unwrap().attributes))
        })
        .await
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let requests = self.received.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|(_, one)| &one.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits for a span that is like this.
    pub(super) async fn span(&self, what: &str, is: impl Fn(&Span) -> bool + Send + Sync) -> Span {
        until(what, async || {
            self.spans().into_iter().find(|span| is(span))
        })
        .await
    }
}

async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("it is what OTLP says");
    received.requests.lock().unwrap().push((headers, request));
    StatusCode::OK
}

/// An attribute as text; empty if there is none.
pub(super) fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name);
    let value = found.and_then(|one| one.value.clone());
    match value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => text,
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => number.to_string(),
        Some(other) => panic!("`{name}` is {other:?}"),
        None => String::new(),
    }
}

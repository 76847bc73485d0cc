//! The duration of requests.
//!
//! They are timed and not traced: a service that exports its spans to itself, or to a collector
//! that sends them here, would create a new span for every export.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::telemetry::metrics::RequestMetrics;

/// The route label of requests that match no route.
const UNMATCHED: &str = "unmatched";

/// Times a request of OTLP/HTTP.
pub(crate) async fn http(
    State(metrics): State<Option<RequestMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (route, method) = (route(&request), request.method().clone());
    let response = next.run(request).await;
    if let Some(metrics) = metrics {
        let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let status = response.status().as_u16();
        metrics.http(route, method.as_str(), status, began.elapsed());
    }
    response
}

/// Times a request of OTLP/gRPC, whose result is in its trailers, or in its headers if it failed.
pub(crate) async fn rpc(
    State(metrics): State<Option<RequestMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let route = route(&request);
    let response = next.run(request).await;
    if let Some(metrics) = metrics {
        let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let method = route.trim_start_matches('/');
        metrics.rpc(method, &format!("{:?}", code(&response)), began.elapsed());
    }
    response
}

fn route(request: &Request) -> Option<MatchedPath> {
    request.extensions().get().cloned()
}

fn code(response: &Response) -> Code {
    match response.headers().get(Status::GRPC_STATUS) {
        Some(code) => Code::from_bytes(code.as_bytes()),
        None if response.status().is_success() => Code::Ok,
        None => Code::Unknown,
    }
}

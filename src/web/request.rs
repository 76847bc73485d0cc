//! The handling of every request on the port of the pages: an id, a span and a duration.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::{
    server::tls::Tls,
    telemetry::{
        metrics::{RequestMetrics, method_label},
        spans::{continue_trace, set_attribute},
    },
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 128;
/// The name for requests without a route.
const UNMATCHED: &str = "unmatched";

/// The id under which the log has a request.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the caller's id, if it is safe to log; otherwise a new one.
    fn of(headers: &HeaderMap) -> Self {
        let sent = text(headers, &REQUEST_ID).filter(|id| is_sane(id));
        Self(sent.map_or_else(|| Uuid::now_v7().to_string().into(), Arc::from))
    }

    /// Returns the id of a request that passed [`observe`].
    pub(super) fn known(parts: &Parts) -> Option<String> {
        let id = parts.extensions.get::<Self>()?;
        Some(id.0.as_ref().to_owned())
    }
}

fn is_sane(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The port that requests come to, and the metrics that count them.
#[derive(Clone, Debug)]
pub(super) struct ObservedPort {
    requests: RequestMetrics,
    scheme: &'static str,
}

impl ObservedPort {
    pub(super) fn new(requests: RequestMetrics, encryption: Option<&Tls>) -> Self {
        let scheme = encryption.map_or("http", |_| "https");
        Self { requests, scheme }
    }
}

/// Continues the caller's trace, and answers with the id of the request, which error responses and
/// log lines contain too.
pub(super) async fn observe(
    State(port): State<ObservedPort>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let method = request.method().clone();
    let span = span(&request, port.scheme, route, &id);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    set_attribute(
        &span,
        "http.response.status_code",
        i64::from(status.as_u16()),
    );
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    port.requests
        .http(route, method.as_str(), status.as_u16(), began.elapsed());
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Makes the span at the error level, so that all log lines of the request have its id.
fn span(request: &Request, scheme: &'static str, route: &str, id: &RequestId) -> Span {
    let method = method_label(request.method().as_str());
    let span = tracing::error_span!(
        "request",
        request_id = &*id.0,
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
    );
    let headers = request.headers();
    let header = |name| text(headers, &HeaderName::from_static(name));
    continue_trace(&span, header("traceparent"), header("tracestate"));
    set_attribute(&span, "http.request.method", method.to_owned());
    set_attribute(&span, "url.scheme", scheme);
    if route != UNMATCHED {
        set_attribute(&span, "http.route", route.to_owned());
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            REQUEST_ID,
            HeaderValue::from_bytes(sent.as_bytes()).unwrap(),
        );
        RequestId::of(&headers).0.as_ref().to_owned()
    }

    #[test]
    fn an_id_of_the_caller_is_taken_if_it_can_be_logged_as_it_is() {
        for sane in ["7", "01JD-9_x.y:z+/=", &"a".repeat(LONGEST_ID)] {
            assert_eq!(id(sane), sane);
        }
        for mad in ["", "a b", "a\"b", "é", "a,b", &"a".repeat(LONGEST_ID + 1)] {
            assert!(id(mad).parse::<Uuid>().is_ok(), "{mad}");
        }
    }

    #[test]
    fn two_requests_without_an_id_get_different_ones() {
        let nothing = HeaderMap::new();
        let [one, other] = [(); 2].map(|()| RequestId::of(&nothing).0);
        assert_ne!(one, other);
    }
}

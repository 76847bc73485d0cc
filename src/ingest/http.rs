//! OTLP/HTTP: `POST /v1/traces` with protobuf or JSON, by HTTP/1.1 and HTTP/2.
//!
//! Senders retry a request after 429, 502, 503 and 504 only, and some regard every 3xx as success.
//! So every temporary failure is answered with 503 or 429, and `Retry-After`, and no redirect is ever sent.

use std::future::Future;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    consumer::TraceConsumer,
    failure::Failure,
    receiver::{Payload, Receiver, RequestFormat},
    refused::RequestResults,
    reply::{self, Rejections},
    server::{body::ContentEncoding, cors::AllowedOrigins, timing},
};
use crate::server::{self, PeerAddress, Versions};

/// Serves until `shutdown`, then finishes the requests in progress.
pub async fn serve<D: TraceConsumer>(
    listener: TcpListener,
    receiver: Receiver<D>,
    origins: AllowedOrigins,
    shutdown: impl Future<Output = ()>,
) {
    let port = receiver.port("otlp_http", Versions::Any);
    let router = router(receiver);
    let router = match origins.layer() {
        Some(cors) => router.layer(cors),
        None => router,
    };
    server::serve(listener, router, port, shutdown).await;
}

fn router<D: TraceConsumer>(receiver: Receiver<D>) -> Router {
    let timed = middleware::from_fn_with_state(receiver.results().metrics, timing::http);
    let speak = middleware::from_fn_with_state(receiver.results(), speak);
    Router::new()
        .route("/v1/traces", post(export))
        // The path that a client uses whose endpoint for traces was configured without one.
        .route("/", post(export))
        .fallback(async || Failure::NoSuchPath)
        .method_not_allowed_fallback(async || Failure::NotPost)
        .layer(CatchPanicLayer::custom(|_| {
            Failure::Panicked.into_response()
        }))
        .layer(speak)
        .layer(timed)
        .with_state(receiver)
}

async fn export<D: TraceConsumer>(
    State(receiver): State<Receiver<D>>,
    request: Request,
) -> Response {
    let Some(format) = format(request.headers()) else {
        return Failure::MediaType.into_response();
    };
    match take(&receiver, format, request).await {
        Ok(refusals) => {
            receiver.results().count(refusals.result());
            success(format, &refusals)
        }
        Err(failure) => failure.into_response(),
    }
}

async fn take<D: TraceConsumer>(
    receiver: &Receiver<D>,
    format: RequestFormat,
    request: Request,
) -> Result<Rejections, Failure> {
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let senders = &receiver.senders;
    let services = senders.admit("otlp_http", request.headers(), peer)?;
    let encoding = encoding(request.headers())?;
    let mut admission = receiver.enter()?;
    let bytes = receiver
        .receive(request.into_body(), 0, &mut admission)
        .await?;
    let payload = Payload {
        bytes,
        encoding,
        format,
        services,
    };
    receiver.take(payload, admission).await
}

/// Returns the format by the media type of `Content-Type`, in either case and without its
/// parameters.
fn format(headers: &HeaderMap) -> Option<RequestFormat> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(RequestFormat::Protobuf),
        "application/json" => Some(RequestFormat::Json),
        _ => None,
    }
}

fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Failure> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(ContentEncoding::Identity);
    };
    ContentEncoding::parse(&String::from_utf8_lossy(value.as_bytes()))
}

fn success(format: RequestFormat, refusals: &Rejections) -> Response {
    let body = match format {
        RequestFormat::Protobuf => reply::accepted(refusals).encode_to_vec(),
        RequestFormat::Json => reply::accepted_json(refusals).to_string().into_bytes(),
    };
    ([(CONTENT_TYPE, content_type(format))], body).into_response()
}

/// Returns the media type without parameters: the Go exporter compares the whole header.
const fn content_type(format: RequestFormat) -> &'static str {
    match format {
        RequestFormat::Protobuf => "application/x-protobuf",
        RequestFormat::Json => "application/json",
    }
}

impl IntoResponse for Failure {
    /// Sets only the status; [`speak`] adds the reason in the format of the request.
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownEncoding(_)
            | Self::NotCompressed(_)
            | Self::BrokenOff(_)
            | Self::BadFrame(_)
            | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Blocked(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            // A defect of this service that the same request would trigger again, so it must not be
            // retried.
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Reports every failure, and gives it the body that OTLP requires: a `google.rpc.Status` in the
/// format of the request, or text if the request has none.
async fn speak(State(results): State<RequestResults>, request: Request, next: Next) -> Response {
    let known_format = format(request.headers());
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    // A client that sends no OTLP format to an unknown path is not a sender.
    let is_stranger = known_format.is_none() && matches!(failure, Failure::NoSuchPath);
    results.failed(&failure, peer.filter(|_| !is_stranger));
    if let Failure::MediaType = failure {
        *response.body_mut() = Body::from(format!("{failure}\n"));
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        return response;
    }
    let format = known_format.unwrap_or(RequestFormat::Json);
    if let Some(delay) = failure.retry_after() {
        server::set_retry_after(response.headers_mut(), delay);
    }
    if let Failure::Unauthenticated(_) = failure {
        let scheme = HeaderValue::from_static("Bearer realm=\"throughline\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    let content_type = HeaderValue::from_static(content_type(format));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    *response.body_mut() = status_body(format, &failure);
    response
}

fn status_body(format: RequestFormat, failure: &Failure) -> Body {
    let code = reply::code(failure) as i32;
    let message = failure.to_string();
    match format {
        RequestFormat::Json => Body::from(json!({"code": code, "message": message}).to_string()),
        RequestFormat::Protobuf => Body::from(
            tonic_types::Status {
                code,
                message,
                details: Vec::new(),
            }
            .encode_to_vec(),
        ),
    }
}

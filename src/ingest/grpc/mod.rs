//! OTLP/gRPC: `TraceService/Export`, one message in and one out.
//!
//! The framing is done here and not by tonic's codec, for three reasons: the codec answers a
//! message that is too large with `OUT_OF_RANGE`, which OTLP clients retry for ever; it allocates
//! the announced length before a byte has arrived; and it decompresses on the threads that serve
//! all requests.

mod health;

use std::{future::Future, net::IpAddr};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    consumer::TraceConsumer,
    failure::Failure,
    receiver::{Payload, Receiver, RequestFormat},
    reply::{self, Rejections},
    server::{body::ContentEncoding, timing},
};
use crate::{
    domain::access::AllowedServices,
    server::{self, PeerAddress, Versions},
};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
/// Precedes each message: one byte for the compression flag, and the length in four bytes.
pub(super) const PREFIX: usize = 5;

/// Serves until `shutdown`, then finishes the requests in progress.
pub async fn serve<D: TraceConsumer>(
    listener: TcpListener,
    receiver: Receiver<D>,
    shutdown: impl Future<Output = ()>,
) {
    let port = receiver.port("otlp_grpc", Versions::Http2Only);
    let router = router(receiver);
    server::serve(listener, router, port, shutdown).await;
}

fn router<D: TraceConsumer>(receiver: Receiver<D>) -> Router {
    let timed = middleware::from_fn_with_state(receiver.results().metrics, timing::rpc);
    Router::new()
        .route(EXPORT, post(export))
        .route(health::CHECK, post(health::check))
        // Metrics and logs: clients stop sending them, with a hint, when they receive this status.
        .fallback(async || {
            Status::unimplemented("only traces are accepted, by TraceService/Export").into_http()
                as Response
        })
        .layer(CatchPanicLayer::custom(|_| failed(&Failure::Panicked)))
        .layer(timed)
        .with_state(receiver)
}

async fn export<D: TraceConsumer>(
    State(receiver): State<Receiver<D>>,
    request: Request,
) -> Response {
    let content = request.headers().get(CONTENT_TYPE);
    if !content.is_some_and(|content| content.as_bytes().starts_with(CONTENT.as_bytes())) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    match take(&receiver, request, peer).await {
        Ok(refusals) => {
            receiver.results().count(refusals.result());
            message(&reply::accepted(&refusals).encode_to_vec())
        }
        Err(failure) => {
            receiver.results().failed(&failure, peer);
            failed(&failure)
        }
    }
}

async fn take<D: TraceConsumer>(
    receiver: &Receiver<D>,
    request: Request,
    peer: Option<IpAddr>,
) -> Result<Rejections, Failure> {
    let (head, body) = request.into_parts();
    let services = receiver.senders.admit("otlp_grpc", &head.headers, peer)?;
    let encoding = encoding(&head.headers)?;
    let mut admission = receiver.enter()?;
    let framed = receiver.receive(body, PREFIX, &mut admission).await?;
    let payload = Payload {
        services,
        ..unframe(&framed, encoding)?
    };
    receiver.take(payload, admission).await
}

/// Returns the encoding of compressed messages; `None` if the sender names none.
fn encoding(headers: &HeaderMap) -> Result<Option<ContentEncoding>, Failure> {
    headers
        .get("grpc-encoding")
        .map(|value| ContentEncoding::parse(&String::from_utf8_lossy(value.as_bytes())))
        .transpose()
}

/// Returns the one message of a unary call.
pub(super) fn unframe(
    framed: &Bytes,
    encoding: Option<ContentEncoding>,
) -> Result<Payload, Failure> {
    let Some((&[compressed, l0, l1, l2, l3], message)) = framed.split_first_chunk::<PREFIX>()
    else {
        return Err(Failure::BadFrame("there is no message"));
    };
    if message.len() as u64 != u64::from(u32::from_be_bytes([l0, l1, l2, l3])) {
        return Err(Failure::BadFrame("its length is not the one announced"));
    }
    let encoding = match (compressed, encoding) {
        (0, _) => ContentEncoding::Identity,
        (1, Some(encoding)) if encoding != ContentEncoding::Identity => encoding,
        (1, _) => {
            return Err(Failure::BadFrame(
                "it is compressed without naming an encoding",
            ));
        }
        _ => return Err(Failure::BadFrame("its first byte is neither 0 nor 1")),
    };
    Ok(Payload {
        bytes: framed.slice(PREFIX..),
        encoding,
        format: RequestFormat::Protobuf,
        services: AllowedServices::All,
    })
}

/// Makes a reply of one message.
pub(super) fn message(message: &[u8]) -> Response {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(framed.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    ([(CONTENT_TYPE, CONTENT)], Body::new(body)).into_response()
}

fn failed(failure: &Failure) -> Response {
    let code = reply::code(failure);
    let message = failure.to_string();
    let status = match (failure, failure.retry_after()) {
        (_, Some(delay)) => {
            let details = ErrorDetails::with_retry_info(Some(delay));
            let mut status = Status::with_error_details(code, message, details);
            // The Python exporter reads the delay from here, not from the status details.
            let retry_info = MetadataValue::from_bytes(&retry_info(delay));
            let metadata = status.metadata_mut();
            metadata.insert_bin("google.rpc.retryinfo-bin", retry_info);
            status
        }
        (Failure::Malformed(_) | Failure::NotCompressed(_) | Failure::BadFrame(_), None) => {
            let details = ErrorDetails::with_bad_request_violation("request", message.clone());
            Status::with_error_details(code, message, details)
        }
        _ => Status::new(code, message),
    };
    let mut response: Response = status.into_http();
    if matches!(failure, Failure::UnknownEncoding(_)) {
        let known = HeaderValue::from_static("identity,gzip,zstd,deflate");
        response.headers_mut().insert("grpc-accept-encoding", known);
    }
    response
}

fn retry_info(delay: std::time::Duration) -> Vec<u8> {
    use tonic_types::pb::RetryInfo;

    let retry_delay = delay.try_into().ok();
    RetryInfo { retry_delay }.encode_to_vec()
}

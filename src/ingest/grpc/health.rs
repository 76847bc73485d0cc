//! The health service of gRPC, `grpc.health.v1.Health/Check`, which probes of Kubernetes and load
//! balancers call.
//!
//! It reports `SERVING` as long as it responds: senders learn with every request that the database
//! is unavailable, and restarting this process would not bring it back. `Watch` is not implemented,
//! which clients regard as healthy.

use axum::{body::Body, extract::Request, response::Response};
use http_body_util::{BodyExt as _, Limited};
use prost::Message;
use tonic::{Code, Status};

use super::{PREFIX, message, unframe};

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The services that may be asked about; the server as a whole has the empty name.
const SERVICES: [&str; 2] = ["", "opentelemetry.proto.collector.trace.v1.TraceService"];
/// The limit of a request; no real service name is longer.
const MAX_BYTES: usize = 1_024;

#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

pub(crate) async fn check(request: Request) -> Response {
    match asked(request.into_body()).await {
        Some(service) if SERVICES.contains(&service.as_str()) => {
            message(&HealthCheckResponse { status: SERVING }.encode_to_vec())
        }
        Some(_) => Status::new(Code::NotFound, "there is no such service").into_http(),
        None => Status::invalid_argument("that is no HealthCheckRequest").into_http(),
    }
}

async fn asked(body: Body) -> Option<String> {
    let body = Limited::new(body, MAX_BYTES + PREFIX);
    let framed = body.collect().await.ok()?.to_bytes();
    let payload = unframe(&framed, None).ok()?;
    let request = HealthCheckRequest::decode(payload.bytes).ok()?;
    Some(request.service)
}

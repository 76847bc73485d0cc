//! The replies of both protocols: the same message, and the same code for the same failure.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde_json::json;
use tonic::Code;

use super::{consumer::Rejections, failure::Failure};

/// Makes the reply to an accepted request. `partial_success` is unset if everything was accepted;
/// senders never retry the spans that it counts. With a message and no spans it is a warning.
pub(super) fn accepted(refusals: &Rejections) -> ExportTraceServiceResponse {
    let partial_success = refusals.message().map(|message| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(refusals.count()).unwrap_or(i64::MAX),
        error_message: message,
    });
    ExportTraceServiceResponse { partial_success }
}

pub(super) fn accepted_json(refusals: &Rejections) -> serde_json::Value {
    let Some(message) = refusals.message() else {
        return json!({});
    };
    json!({"partialSuccess": {
        // 64-bit numbers are strings in proto3's JSON.
        "rejectedSpans": refusals.count().to_string(),
        "errorMessage": message,
    }})
}

/// Returns the gRPC code. Only `Unavailable` is worth a retry.
pub(super) const fn code(failure: &Failure) -> Code {
    match failure {
        Failure::TooLarge { .. } => Code::ResourceExhausted,
        Failure::UnknownEncoding(_)
        | Failure::MediaType
        | Failure::NoSuchPath
        | Failure::NotPost => Code::Unimplemented,
        Failure::NotCompressed(_)
        | Failure::BrokenOff(_)
        | Failure::BadFrame(_)
        | Failure::Malformed(_) => Code::InvalidArgument,
        Failure::Unavailable(_) => Code::Unavailable,
        Failure::Unauthenticated(_) => Code::Unauthenticated,
        Failure::Panicked => Code::Internal,
    }
}

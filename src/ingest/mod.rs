//! Ingest: receives, decodes and classifies spans, and commits the resulting evidence.
//!
//! Both protocols use one consumer, [`Ingest`]. A span that cannot be used is rejected alone;
//! accepted spans are committed before the sender gets its reply.

mod admission;
pub mod consumer;
mod failure;
pub mod grpc;
pub mod http;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod limits;
pub mod receiver;
pub mod record;
pub mod refused;
mod reply;
pub mod server;
pub mod unreadable;
pub mod wire;

use std::time::Duration;

pub use consumer::{ClassifiedRequest, Ingest, IngestParts};

/// The reason why one span was rejected. The rest of its batch is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("trace id is not 16 bytes with a bit set")]
    TraceId,
    #[error("span id is not 8 bytes with a bit set")]
    SpanId,
    #[error("parent span id is neither absent nor 8 bytes")]
    ParentSpanId,
    #[error("{0}")]
    Malformed(String),
    #[error("ends {} in the future", humantime::format_duration(Duration::from_secs(.0.as_secs())))]
    InTheFuture(Duration),
    #[error("ended {} ago, before the horizon of late data", humantime::format_duration(Duration::from_secs(.0.as_secs())))]
    TooLate(Duration),
    #[error("starts after it ends")]
    StartsAfterItEnds,
    #[error("has no end time")]
    NoEnd,
    /// With its `service.name`, empty if it has none.
    #[error("the token does not cover the service `{0}`")]
    ServiceNotAllowed(String),
}

impl Rejection {
    /// All labels.
    pub const LABELS: [&str; 9] = [
        "trace_id",
        "span_id",
        "parent_span_id",
        "malformed",
        "in_the_future",
        "too_late",
        "starts_after_it_ends",
        "no_end",
        "service_not_allowed",
    ];

    /// Returns its label in metrics, where the number of reasons must be small.
    pub const fn as_label(&self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::Malformed(_) => "malformed",
            Self::InTheFuture(_) => "in_the_future",
            Self::TooLate(_) => "too_late",
            Self::StartsAfterItEnds => "starts_after_it_ends",
            Self::NoEnd => "no_end",
            Self::ServiceNotAllowed(_) => "service_not_allowed",
        }
    }
}

/// The reason why a whole request cannot be read. Sending it again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error(transparent)]
    Protobuf(#[from] MalformedProtobuf),
    #[error("the body is not OTLP/JSON: {0}")]
    Json(String),
}

/// The reason why protobuf cannot be read. It is small, since every field that is read may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProtobuf {
    #[error("the body ends in the middle of a field")]
    Truncated,
    #[error("a number is longer than 64 bits or truncated")]
    Varint,
    #[error("a field has the wrong type")]
    WireType,
    #[error("it looks like a log record: only traces are accepted here")]
    LogRecord,
    #[error("a field has no valid number")]
    Key,
    #[error("a group ends that did not begin")]
    GroupEnd,
    #[error("groups are nested too deep")]
    TooDeep,
}

/// The batch could not be committed in time. Sending it again is safe and counts nothing twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; try again in {} s", retry_after.as_secs())]
pub struct Unavailable {
    pub reason: String,
    pub retry_after: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_listed_once() {
        let all = [
            Rejection::TraceId,
            Rejection::SpanId,
            Rejection::ParentSpanId,
            Rejection::Malformed(String::new()),
            Rejection::InTheFuture(Duration::ZERO),
            Rejection::TooLate(Duration::ZERO),
            Rejection::StartsAfterItEnds,
            Rejection::NoEnd,
            Rejection::ServiceNotAllowed(String::new()),
        ];
        assert_eq!(all.each_ref().map(Rejection::as_label), Rejection::LABELS);
    }
}

//! The reasons for which a whole request fails. Each protocol encodes them in its own way.

use std::time::Duration;

use super::{Malformed, Unavailable};
use crate::{domain::access::Blocked, server::whole_seconds};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the body is larger than the limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("`{0}` is not a supported encoding: use gzip, zstd, deflate or none")]
    UnknownEncoding(String),
    #[error("the body cannot be decompressed: {0}")]
    NotCompressed(String),
    #[error("the body could not be received: {0}")]
    BrokenOff(String),
    #[error("the gRPC message is not framed correctly: {0}")]
    BadFrame(&'static str),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    #[error("send application/x-protobuf or application/json")]
    MediaType,
    #[error("this path does not exist: send traces to `/v1/traces`")]
    NoSuchPath,
    /// The reason, as a phrase.
    #[error(
        "{0}: send `authorization: Bearer` with a token of `throughline token create NAME --sender`"
    )]
    Unauthenticated(String),
    /// Not the sender's own fault if others send wrong tokens from its address, so it may try again.
    #[error("{0}; try again in {seconds} s", seconds = whole_seconds(.0.again_in))]
    Blocked(Blocked),
    #[error("only POST is supported here")]
    NotPost,
    #[error("the receiver failed on this request; see its log")]
    Panicked,
}

impl Failure {
    /// Every result of a request in metrics, failure or not.
    pub(super) const RESULTS: [&str; 15] = [
        Self::COMMITTED,
        Self::WITHOUT_TRACES,
        "too_large",
        "unknown_encoding",
        "not_compressed",
        "broken_off",
        "bad_frame",
        "malformed",
        "unavailable",
        "media_type",
        "no_such_path",
        "unauthenticated",
        "blocked",
        "not_post",
        "panicked",
    ];
    pub(super) const COMMITTED: &str = "committed";
    /// The label of a request that was not committed because it contained other data than traces.
    pub(super) const WITHOUT_TRACES: &str = "without_traces";

    /// Returns its label in metrics.
    pub(super) const fn as_label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::NotCompressed(_) => "not_compressed",
            Self::BrokenOff(_) => "broken_off",
            Self::BadFrame(_) => "bad_frame",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(_) => "unavailable",
            Self::MediaType => "media_type",
            Self::NoSuchPath => "no_such_path",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Blocked(_) => "blocked",
            Self::NotPost => "not_post",
            Self::Panicked => "panicked",
        }
    }

    /// Returns whether the sender must change something. A client that only requests a page is not
    /// a sender, and failures that are temporary or the service's own are not the sender's.
    pub(super) const fn is_of_sender(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::UnknownEncoding(_)
            | Self::NotCompressed(_)
            | Self::BadFrame(_)
            | Self::Malformed(_)
            | Self::MediaType
            | Self::NoSuchPath
            | Self::Unauthenticated(_) => true,
            Self::BrokenOff(_)
            | Self::Unavailable(_)
            | Self::Blocked(_)
            | Self::NotPost
            | Self::Panicked => false,
        }
    }

    /// Returns when to send the same request again; `None` if that would not help.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(unavailable) => Some(unavailable.retry_after),
            Self::Blocked(blocked) => Some(blocked.again_in),
            _ => None,
        }
    }
}

/// The reason why a batch was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database rejects the data, so a retry would fail as well.
    #[error("{0}")]
    Refused(Unavailable),
    /// Other definitions were activated since the batch was begun. They are loaded by now: the same
    /// spans must be classified again.
    #[error("the definitions have changed")]
    Outdated,
}

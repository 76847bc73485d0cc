//! Why a request as a whole was not taken. Each protocol says it in its own way.

use super::{Malformed, Unavailable};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the body is larger than the {limit} bytes that are taken at most")]
    TooLarge { limit: usize },
    #[error("`{0}` is not an encoding that is understood: use gzip, zstd, deflate or none")]
    UnknownEncoding(String),
    #[error("the body can not be decompressed: {0}")]
    NotCompressed(String),
    #[error("the body could not be received: {0}")]
    BrokenOff(String),
    #[error("the gRPC message is not framed as it must be: {0}")]
    BadFrame(&'static str),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    #[error("there is nothing at this path: traces go to `/v1/traces`")]
    NoSuchPath,
    #[error("only POST is answered here")]
    NotPost,
    #[error("the receiver failed on this request; its log says where")]
    Panicked,
}

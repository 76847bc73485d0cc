//! The identity of an event.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::domain::model::{ids::TraceId, span::SpanRef};

/// The key by which two pieces of evidence belong to one event: a hash of the values that correlate
/// them. A time is included only if it identifies a span, never if evidence could correct it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub [u8; 16]);

impl EventKey {
    /// Parses 32 hexadecimal digits, as [`fmt::Display`] writes them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok());
        Some(Self(number??.to_be_bytes()))
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Returns the key of the workflow that is a trace, or that began in it.
pub fn trace_key(trace_id: TraceId) -> EventKey {
    hash(&[b"trace", trace_id.as_bytes()])
}

/// Returns the key of one message of those that share a context.
pub fn message_key(context: SpanRef, slot: u32) -> EventKey {
    hash(&[
        b"message",
        context.trace_id.as_bytes(),
        context.span_id.as_bytes(),
        &slot.to_be_bytes(),
    ])
}

/// Hashes the parts. Each is preceded by its length, so that different lists of parts never hash
/// the same bytes.
pub(in crate::domain::workflow) fn hash(parts: &[&[u8]]) -> EventKey {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    EventKey(key)
}

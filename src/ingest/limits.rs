//! Limits of the receiver: sizes, concurrency and times.

use std::time::Duration;

use crate::server::limits::ConnectionLimits;

/// The limits of both protocols. The defaults suit a machine with some hundred megabytes to spare.
#[derive(Clone, Debug)]
pub struct ReceiverLimits {
    /// One body, before and after decompression. OTLP recommends 64 MiB.
    pub body_bytes: usize,
    /// All bodies together, including the memory for decoding them. Above it, senders are asked to
    /// retry.
    pub bytes_in_flight: usize,
    /// Concurrent requests. Above it, senders are asked to retry.
    pub requests: usize,
    /// The limits of connections, for each protocol's port.
    pub connections: ConnectionLimits,
    /// The time from the head of a request to the end of its body.
    pub body_within: Duration,
    /// The time from the end of a body to the reply. Below the 5 s that Collectors wait by default.
    pub reply_within: Duration,
    /// The delay before a rejected sender should retry.
    pub retry_after: Duration,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            bytes_in_flight: 512 << 20,
            requests: 512,
            connections: ConnectionLimits::default(),
            body_within: Duration::from_secs(10),
            reply_within: Duration::from_millis(2_800),
            retry_after: Duration::from_secs(1),
        }
    }
}

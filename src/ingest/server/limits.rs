//! How much the receiver takes at once, and how long it waits.

use std::time::Duration;

use crate::server::limits::ConnectionLimits;

/// The bounds of both protocols. The defaults suit a machine with some hundred megabytes to spare.
#[derive(Clone, Debug)]
pub struct ReceiverLimits {
    /// One body, before and after decompression. OTLP recommends 64 MiB.
    pub body_bytes: usize,
    /// All bodies together, with what decoding them takes. Above it senders are told to come back.
    pub bytes_in_flight: usize,
    /// Requests at once. Above it senders are told to come back.
    pub requests: usize,
    /// Those of each protocol's port.
    pub connections: ConnectionLimits,
    /// From the head of a request to the end of its body.
    pub body_within: Duration,
    /// From the end of a body to the reply. Collectors by default wait 5 s, so it is less.
    pub reply_within: Duration,
    /// What a sender waits that was turned away.
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

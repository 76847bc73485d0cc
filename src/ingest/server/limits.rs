//! How much the receiver takes at once, and how long it waits.

use std::time::Duration;

/// The bounds of both protocols. The defaults suit a machine with some hundred megabytes to spare.
#[derive(Clone, Debug)]
pub struct ReceiverLimits {
    /// One body, before and after decompression. OTLP recommends 64 MiB.
    pub body_bytes: usize,
    /// All bodies together, with what decoding them takes. Above it senders are told to come back.
    pub bytes_in_flight: usize,
    /// Requests at once. Above it senders are told to come back.
    pub requests: usize,
    /// Connections at once, of each protocol. Above it they wait in the system's queue.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// From the opening of a connection to its first request.
    pub first_request_within: Duration,
    /// From one reply to the next request of a connection with HTTP/1.1.
    pub idle: Duration,
    /// From the head of a request to the end of its body.
    pub body_within: Duration,
    /// From the end of a body to the reply. Collectors by default wait 5 s, so it is less.
    pub reply_within: Duration,
    /// After it a connection is closed between requests, so that clients spread over replicas:
    /// gRPC connections would otherwise stay for ever where they were opened.
    pub connection_age: Duration,
    /// How long requests may still run on a connection that is being closed.
    pub closing_within: Duration,
    /// What a sender waits that was turned away.
    pub retry_after: Duration,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            bytes_in_flight: 512 << 20,
            requests: 512,
            connections: 4_096,
            streams: 128,
            first_request_within: Duration::from_secs(20),
            idle: Duration::from_mins(2),
            body_within: Duration::from_secs(10),
            reply_within: Duration::from_millis(2_800),
            connection_age: Duration::from_mins(10),
            closing_within: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
        }
    }
}

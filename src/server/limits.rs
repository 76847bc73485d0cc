//! The limits of a port's connections: their number and their duration.

use std::time::Duration;

/// The limits of one port. The defaults are those of a receiver.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Concurrent connections. When it is reached, a new connection closes the least recently used
    /// idle one; if all are busy, new ones wait in the system's queue.
    pub connections: usize,
    /// Concurrent connections of one peer address. When it is reached, a new connection closes an
    /// idle one of the same peer, and is closed itself if all are busy.
    pub per_peer: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// The time from the opening of a connection to its first request.
    pub first_request_within: Duration,
    /// The time from one reply to the next request of a connection with HTTP/1.1.
    pub idle: Duration,
    /// The age at which a connection is closed between requests, so that clients are distributed
    /// over replicas: gRPC connections would otherwise stay open on the same replica.
    pub connection_age: Duration,
    /// The time that requests may still run on a connection that is closing.
    pub closing_within: Duration,
}

impl ConnectionLimits {
    /// Returns lower limits, since there are fewer browsers and Prometheus servers than senders.
    pub fn of_pages() -> Self {
        Self {
            connections: 1_024,
            per_peer: 512,
            ..Self::default()
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_peer: 1_024,
            streams: 128,
            first_request_within: Duration::from_secs(20),
            idle: Duration::from_mins(2),
            connection_age: Duration::from_mins(10),
            closing_within: Duration::from_secs(10),
        }
    }
}

//! How many connections a port takes, and how long each may stay.

use std::time::Duration;

/// The bounds of one port. The defaults are those of a receiver.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once. Above it the idle one that was used least recently is closed for each new
    /// one; if all are busy, new ones wait in the system's queue.
    pub connections: usize,
    /// Connections at once of one peer address. Above it one of its own makes room, and if all of them
    /// are busy, the new one is closed.
    pub per_peer: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// From the opening of a connection to its first request.
    pub first_request_within: Duration,
    /// From one reply to the next request of a connection with HTTP/1.1.
    pub idle: Duration,
    /// After it a connection is closed between requests, so that clients spread over replicas:
    /// gRPC connections would otherwise stay for ever where they were opened.
    pub connection_age: Duration,
    /// How long requests may still run on a connection that is being closed.
    pub closing_within: Duration,
}

impl ConnectionLimits {
    /// Browsers and Prometheus are fewer than senders.
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

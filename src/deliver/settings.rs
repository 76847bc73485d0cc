//! Settings of deliveries: time limits, concurrency, and the URLs in messages.

use std::time::Duration;

use reqwest::Method;

use super::http::{addresses::AddressPolicy, client::BuildClientError};
use crate::domain::notify::{
    HeartbeatMethod,
    signed_links::{ActionAddresses, SignedLinks},
};

/// Timeouts and limits. The defaults are for production; tests use shorter ones.
#[derive(Clone, Debug)]
pub struct DeliverSettings {
    pub connect_timeout: Duration,
    /// The time limit of a request to Slack or PagerDuty.
    pub chat_timeout: Duration,
    /// The time limit of a request to a webhook.
    pub webhook_timeout: Duration,
    /// The HTTP method of heartbeats to webhooks.
    pub heartbeat_method: HeartbeatMethod,
    /// The duration of the lease of a claimed delivery.
    pub lease: Duration,
    /// Concurrent deliveries to one target, each of another alert.
    pub at_once: u32,
    pub addresses: AddressPolicy,
    /// The URLs at which readers can act; `None` if the public URL is unknown.
    pub actions: Option<ActionAddresses>,
    /// The URLs of the charts in messages; without it messages have none.
    pub chart_links: Option<SignedLinks>,
}

/// The reason why these settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StartDelivererError {
    #[error(
        "a lease of {lease:?} is too short: it must be at least {needed:?}, twice a timeout and 5 s"
    )]
    ShortLease { lease: Duration, needed: Duration },
    #[error(transparent)]
    Client(#[from] BuildClientError),
}

impl Default for DeliverSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            chat_timeout: Duration::from_secs(10),
            webhook_timeout: Duration::from_secs(20),
            heartbeat_method: HeartbeatMethod::Post,
            lease: Duration::from_mins(1),
            at_once: 4,
            addresses: AddressPolicy::public_only(),
            actions: None,
            chart_links: None,
        }
    }
}

impl From<HeartbeatMethod> for Method {
    fn from(method: HeartbeatMethod) -> Self {
        match method {
            HeartbeatMethod::Post => Self::POST,
            HeartbeatMethod::Get => Self::GET,
        }
    }
}

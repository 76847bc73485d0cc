//! How long targets are given, how much is sent at once, and where to.

use std::time::Duration;

use super::http::addresses::AddressPolicy;
use crate::domain::notify::signed_links::{ActionAddresses, SignedLinks};

/// Timeouts and limits. The defaults are for production; tests use shorter ones.
#[derive(Clone, Debug)]
pub struct DeliverSettings {
    pub connect_timeout: Duration,
    /// For all of a request to Slack or PagerDuty.
    pub chat_timeout: Duration,
    /// For all of a request to a webhook.
    pub webhook_timeout: Duration,
    /// How long a claimed delivery is ours.
    pub lease: Duration,
    /// Deliveries to one target at a time, each of another alert.
    pub at_once: u32,
    pub addresses: AddressPolicy,
    /// Where readers can act; `None` where it is not known what people reach the pages at.
    pub actions: Option<ActionAddresses>,
    /// Where readers fetch the charts of messages; without it messages have none.
    pub chart_links: Option<SignedLinks>,
}

impl Default for DeliverSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            chat_timeout: Duration::from_secs(10),
            webhook_timeout: Duration::from_secs(20),
            lease: Duration::from_mins(1),
            at_once: 4,
            addresses: AddressPolicy::public_only(),
            actions: None,
            chart_links: None,
        }
    }
}

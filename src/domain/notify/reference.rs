//! What must be known later on of how a target was told of an episode first.

use serde::{Deserialize, Serialize};

use crate::domain::slo::SecretRef;

/// Kept per target and episode, as JSON; never with anything secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    SlackMessage(SlackMessage),
    RoutingKey(PinnedKey),
}

/// Where a message of Slack stands: what follows is told in its thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackMessage {
    /// The channel's id, which stays when it is renamed.
    pub channel: String,
    pub ts: String,
}

/// Which routing key PagerDuty knows an alert under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedKey {
    pub secret: SecretRef,
    /// Tells whether what is kept there is still the same, and nothing else about it.
    pub fingerprint: String,
}

//! References to the first message about an episode, for later messages to the same target.

use serde::{Deserialize, Serialize};

use crate::domain::slo::SecretRef;

/// Stored per target and episode, as JSON; never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    SlackMessage(SlackMessage),
    RoutingKey(PinnedKey),
}

/// The position of a Slack message; later messages go to its thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackMessage {
    /// The channel's id, which does not change when it is renamed.
    pub channel: String,
    pub ts: String,
}

/// The routing key under which PagerDuty knows an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedKey {
    pub secret: SecretRef,
    /// Shows whether the stored secret is still the same, and nothing else about it.
    pub fingerprint: String,
}

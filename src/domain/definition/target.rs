//! The places that notifications are sent to.

use serde::{Deserialize, Serialize};

use crate::domain::names::Name;

/// A place that notifications are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Name,
    pub kind: TargetKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A request with the headers of Standard Webhooks.
    Webhook {
        url: SecretOrPlain,
        secret: Option<SecretRef>,
        format: WebhookFormat,
    },
    /// An incoming webhook of Slack.
    Slack { webhook_url: SecretRef },
    /// A bot of Slack, by its Web API: one thread for each episode.
    SlackBot {
        token: SecretRef,
        channel: String,
        url: Option<String>,
    },
    /// Events API v2.
    PagerDuty {
        routing_key: SecretRef,
        /// The one before, for alerts that were triggered under it.
        former_routing_key: Option<SecretRef>,
        url: Option<String>,
    },
    /// A workflow of Microsoft Teams.
    Teams { url: SecretRef },
    /// API v2, all replicas of one.
    Alertmanager { urls: Vec<SecretOrPlain> },
}

/// What the body of a webhook looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Our own, in the form that Standard Webhooks asks for.
    #[default]
    Standard,
    /// What an Alertmanager would send.
    AlertmanagerV4,
    CloudEvents,
}

/// A webhook's address: written in the file, or by reference where it is itself a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrPlain {
    Plain(String),
    Secret(SecretRef),
}

/// Where a secret is kept. Its value is read when it is used and never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    Env(String),
    File(String),
}

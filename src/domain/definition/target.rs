//! The places that notifications are sent to.

use crate::domain::names::Name;

/// A place that notifications are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Name,
    pub kind: TargetKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A signed request of the Standard Webhooks form.
    Webhook {
        url: SecretOrPlain,
        secret: Option<SecretRef>,
    },
    /// An incoming webhook of Slack.
    Slack { webhook_url: SecretRef },
    /// Events API v2.
    PagerDuty {
        routing_key: SecretRef,
        url: Option<String>,
    },
}

/// A webhook's address: written in the file, or by reference where it is itself a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrPlain {
    Plain(String),
    Secret(SecretRef),
}

/// Where a secret is kept. Its value is read when it is used and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    Env(String),
    File(String),
}

//! One notification to one target, and the attempts at it.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    model::{group::Group, ids::Name, time::Timestamp},
    slo::Severity,
};

/// The delivery of a transition to one target.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Delivery {
    pub target: Name,
    pub state: DeliveryState,
    pub attempts: i32,
    /// The HTTP status of the last response, if there was one.
    pub http_status: Option<i32>,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Attempt {
    /// Counted from 1.
    pub number: i32,
    pub started_at: Timestamp,
    pub duration_ms: i32,
    pub class: AttemptClass,
    pub http_status: Option<i32>,
    /// The response or the error: at most 256 bytes, without secrets.
    pub excerpt: Option<String>,
    /// `None` if it is not attempted again.
    pub retry_at: Option<Timestamp>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    /// Being sent by a replica.
    Leased,
    Delivered,
    /// Failed permanently: not attempted again.
    Failed,
    /// Resolved before it could be delivered: only the end was sent, or nothing.
    Collapsed,
    /// Never attempted, and too old to notify anyone of.
    Expired,
    /// Its target is not declared any more.
    Cancelled,
}

impl DeliveryState {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Leased,
        Self::Delivered,
        Self::Failed,
        Self::Collapsed,
        Self::Expired,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Collapsed => "collapsed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the name for users.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "in progress",
            Self::Delivered => "delivered",
            Self::Failed => "failed permanently",
            Self::Collapsed => "skipped: resolved before it could be delivered",
            Self::Expired => "skipped: too old before the first attempt",
            Self::Cancelled => "skipped: the target was removed",
        }
    }

    /// Returns whether it may still be sent.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Leased => true,
            Self::Delivered | Self::Failed | Self::Collapsed | Self::Expired | Self::Cancelled => {
                false
            }
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The result of an attempt.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AttemptClass {
    Delivered,
    /// The target asked to wait.
    RateLimited,
    /// The target could not accept it at this time.
    Unavailable,
    /// No response in time: it may have been received.
    Timeout,
    /// The target's name cannot be resolved: it was not received.
    Dns,
    /// The target's certificate is invalid, or it does not speak TLS: it was not received.
    Tls,
    /// No connection: it was not received.
    Connect,
    /// The connection broke: it may have been received.
    Network,
    /// The target rejects this message, and would reject it again.
    Rejected,
    /// The target is gone, forbids access or redirects: a person must correct its configuration.
    Misconfigured,
    /// The service's settings do not allow the target's address.
    Forbidden,
    SecretMissing,
    /// No file declares the target any more.
    Undeclared,
    /// Another version of the service wrote the content.
    Unreadable,
}

impl AttemptClass {
    const ALL: [Self; 14] = [
        Self::Delivered,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Dns,
        Self::Tls,
        Self::Connect,
        Self::Network,
        Self::Rejected,
        Self::Misconfigured,
        Self::Forbidden,
        Self::SecretMissing,
        Self::Undeclared,
        Self::Unreadable,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Connect => "connect",
            Self::Network => "network",
            Self::Rejected => "rejected",
            Self::Misconfigured => "misconfigured",
            Self::Forbidden => "forbidden",
            Self::SecretMissing => "secret_missing",
            Self::Undeclared => "undeclared",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for AttemptClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The possibility that the target has received this notification before: an earlier attempt ended
/// without a response, or its replica crashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redelivery {
    #[default]
    No,
    Possible,
}

/// The state of a target, shared by all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetState {
    pub health: circuit::TargetCircuit,
    /// The time until which it asked for no requests (`Retry-After`).
    pub not_before: Timestamp,
    /// The time at which a full burst of its [rate limit](rate_limit::RateLimit) is allowed again.
    pub next_free_at: Timestamp,
    /// The recent messages, if it is a chat.
    pub chat_pace: chat_pace::ChatPace,
}

/// The state of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Delivered(Timestamp),
    /// To be attempted again at this time.
    Again(Timestamp),
    /// Failed permanently.
    Failed(Timestamp),
}

/// The time after which a message is late: a page waits this long for its target before the
/// fallback gets it too.
pub const LATE: Duration = Duration::from_mins(2);

/// Returns the age at which a delivery that was never attempted expires, as after a restored backup
/// or an outage of all replicas. For a ticket it is as long as its retries last.
pub const fn expires_after(severity: Severity) -> Duration {
    match severity {
        Severity::Page => Duration::from_hours(6),
        Severity::Ticket => Duration::from_hours(72),
    }
}

/// Returns the id that is the same for all attempts and targets of a transition; receivers drop
/// duplicates by it.
pub fn message_id(transition: Uuid) -> String {
    format!("msg_{}", transition.simple())
}

/// Returns the key that orders deliveries: for one key and target the oldest open one is sent first.
///
/// It is also PagerDuty's dedup key, so after a lost resolve the next episode's resolve closes the
/// incident.
///
/// A group is included by its digest: its values come from senders, and may have any length.
pub fn alert_key(slo: &Name, group: Option<&Group>, severity: Severity) -> String {
    let severity = severity.as_str();
    match group {
        None => format!("slo/{slo}/{severity}"),
        Some(group) => {
            let digest = u128::from_be_bytes(group.key().0);
            format!("slo/{slo}/{severity}/{digest:032x}")
        }
    }
}

pub mod chat_pace;
pub mod circuit;
pub mod plan;
pub mod rate_limit;
pub mod retry;

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
    /// What the target answered last, if it did.
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
    /// What the target answered or what went wrong: at most 256 bytes, without secrets.
    pub excerpt: Option<String>,
    /// `None` if it is not tried again.
    pub retry_at: Option<Timestamp>,
}

/// Where a delivery is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    /// Being sent by some replica.
    Leased,
    Delivered,
    /// Permanently: it is not tried again.
    Failed,
    /// Resolved before it could be delivered: only the end was sent, or nothing.
    Collapsed,
    /// Never attempted, and too old now to notify anybody of.
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

    /// As users read it.
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

    /// Whether anything is still to come of it.
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
    /// The target asked to be left alone for a while.
    RateLimited,
    /// The target could not take it now.
    Unavailable,
    /// No answer in time: it may have been taken.
    Timeout,
    /// The target's name cannot be resolved: it has not been taken.
    Dns,
    /// The target cannot prove who it is, or does not speak TLS: it has not been taken.
    Tls,
    /// No connection: it has not been taken.
    Connect,
    /// The connection broke: it may have been taken.
    Network,
    /// The target understood and refuses this message: the same again would be refused again.
    Rejected,
    /// The target is gone, forbids us or sends us elsewhere: somebody must mend its configuration.
    Misconfigured,
    /// The target's address is one that the service's settings do not allow.
    Forbidden,
    SecretMissing,
    /// No file declares the target any more.
    Undeclared,
    /// Another version of the service wrote the facts.
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

/// Whether the target may have seen this very notification before: an earlier try ended without an
/// answer, or the replica that made it died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redelivery {
    #[default]
    No,
    Possible,
}

/// What all replicas know of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetState {
    pub health: circuit::TargetCircuit,
    /// Until when it asked for no requests (`Retry-After`).
    pub not_before: Timestamp,
    /// When a full burst of its [rate limit](rate_limit::RateLimit) is allowed again.
    pub next_free_at: Timestamp,
    /// What it was sent of late, if it is a chat.
    pub chat_pace: chat_pace::ChatPace,
}

/// What an attempt makes of its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Delivered(Timestamp),
    /// To be attempted again at this time.
    Again(Timestamp),
    /// Permanently.
    Failed(Timestamp),
}

/// A message that takes longer is delayed: so long a page waits for its target alone.
pub const LATE: Duration = Duration::from_mins(2);

/// After so long a delivery that was never tried calls nobody: after a restore from a backup, or an
/// outage of all replicas, it tells of another day. A ticket has the time that its tries have.
pub const fn expires_after(severity: Severity) -> Duration {
    match severity {
        Severity::Page => Duration::from_hours(6),
        Severity::Ticket => Duration::from_hours(72),
    }
}

/// The id that is the same over all tries and all targets of a transition; receivers drop what they
/// have seen by it.
pub fn message_id(transition: Uuid) -> String {
    format!("msg_{}", transition.simple())
}

/// What orders deliveries: of one key and target the oldest open one goes first. PagerDuty knows the
/// alert by it too, so that a lost resolve heals with the next episode.
///
/// A group is in it by its digest: values are what senders write, and of any length.
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

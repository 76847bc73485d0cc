//! The inputs of a plan: the deliveries of one target, and the target's declaration.

use uuid::Uuid;

use super::WaitReason;
use crate::domain::{
    model::time::Timestamp,
    notify::delivery::{
        AttemptClass, DeliveryState, LATE, Redelivery, expires_after, rate_limit::RateLimit,
    },
    slo::{LatePolicy, Severity, Target},
};

/// The deliveries of one target that are considered together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryQueue {
    /// In any order. For each ordering key either none or all open ones, and for the episodes of
    /// those also the settled ones.
    pub deliveries: Vec<QueuedDelivery>,
    /// The severity of the most urgent open delivery that is not among these.
    pub urgency_of_others: Option<Severity>,
}

/// A delivery as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedDelivery {
    /// Also defines the order within its ordering key.
    pub id: i64,
    pub ordering_key: String,
    pub subject: DeliverySubject,
    pub priority: Severity,
    pub state: DeliveryState,
    pub attempts: i32,
    /// The number of attempts with a recorded result; another attempt is in progress, or its
    /// replica crashed.
    pub recorded_attempts: i32,
    /// The distinct results.
    pub results: Vec<AttemptClass>,
    pub due_since: Timestamp,
    pub retries_since: Timestamp,
    pub next_attempt_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    /// True if the notification was meant for another target.
    pub is_fallback: bool,
    /// True if it was sent to the fallback as well.
    pub is_escalated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverySubject {
    Alert {
        episode: Uuid,
        /// True if it is the last of its episode.
        is_end: bool,
    },
    HealthCheck,
    /// A digest, heartbeat or test.
    Other,
}

/// The settings of a target for its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    pub late: LatePolicy,
    pub rate_limit: Option<RateLimit>,
    /// True if it is a chat, where messages scroll by.
    pub is_chat: bool,
    /// The maximum number of messages per turn.
    pub at_once: u32,
    pub has_fallback: bool,
}

impl DeliveryQueue {
    pub fn get(&self, id: i64) -> Option<&QueuedDelivery> {
        self.deliveries.iter().find(|delivery| delivery.id == id)
    }

    /// Returns [`QueuedDelivery::redelivery`] of the delivery with this id.
    pub fn redelivery(&self, id: i64) -> Redelivery {
        let queued = self.get(id);
        queued.map_or(Redelivery::No, QueuedDelivery::redelivery)
    }

    /// Returns whether the target has received another notification of the same episode.
    pub fn has_delivered_other(&self, id: i64) -> bool {
        let episode = self.get(id).and_then(QueuedDelivery::episode);
        self.deliveries.iter().any(|other| {
            other.id != id
                && other.state == DeliveryState::Delivered
                && episode.is_some()
                && other.episode() == episode
        })
    }
}

impl QueuedDelivery {
    /// Returns whether the target may have received it: an earlier attempt ended without a
    /// response, or its replica crashed.
    pub fn redelivery(&self) -> Redelivery {
        let is_unknown =
            |class: &AttemptClass| matches!(class, AttemptClass::Timeout | AttemptClass::Network);
        if self.attempts > self.recorded_attempts || self.results.iter().any(is_unknown) {
            Redelivery::Possible
        } else {
            Redelivery::No
        }
    }

    pub(super) fn may_be_known(&self) -> bool {
        self.state == DeliveryState::Delivered || self.redelivery() == Redelivery::Possible
    }

    pub(super) fn was_refused(&self) -> bool {
        let is_refusal = |class: &AttemptClass| {
            matches!(
                class,
                AttemptClass::Misconfigured | AttemptClass::Forbidden | AttemptClass::Rejected
            )
        };
        self.results.iter().any(is_refusal)
    }

    pub(super) fn episode(&self) -> Option<Uuid> {
        match self.subject {
            DeliverySubject::Alert { episode, .. } => Some(episode),
            DeliverySubject::HealthCheck | DeliverySubject::Other => None,
        }
    }

    /// Returns whether it is older than its maximum age; then it expires, unless it was attempted.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        self.retries_since + expires_after(self.priority) <= now
    }

    pub(super) fn is_late_page(&self, now: Timestamp) -> bool {
        self.priority == Severity::Page && self.due_since + LATE <= now
    }

    /// Returns until when it cannot be sent for reasons of its own; `None` if it is due.
    pub(super) fn busy_until(&self, now: Timestamp) -> Option<(Timestamp, WaitReason)> {
        let lease = self
            .lease_until
            .map(|until| (until, WaitReason::InProgress));
        let retry = Some((self.next_attempt_at, WaitReason::Retry));
        lease.max(retry).filter(|(until, _)| *until > now)
    }
}

impl DeliveryPolicy {
    pub const fn of(target: &Target, rate_limit: Option<RateLimit>, at_once: u32) -> Self {
        Self {
            late: target.late,
            rate_limit,
            is_chat: target.kind.is_chat(),
            at_once,
            has_fallback: target.fallback.is_some(),
        }
    }
}

//! What the plan knows of the deliveries of one target, and of the target's declaration.

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
    /// In any order. Of every ordering key either nothing or all that is open, and of every episode of
    /// those also what is settled.
    pub deliveries: Vec<QueuedDelivery>,
    /// The severity of the most urgent open delivery that is not among these.
    pub urgency_of_others: Option<Severity>,
}

/// A delivery as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedDelivery {
    /// Also the order within its ordering key.
    pub id: i64,
    pub ordering_key: String,
    pub subject: DeliverySubject,
    pub priority: Severity,
    pub state: DeliveryState,
    pub attempts: i32,
    /// How many attempts have a recorded result; the replica that made another has died, or it is
    /// under way.
    pub recorded_attempts: i32,
    /// The results, each once.
    pub results: Vec<AttemptClass>,
    pub due_since: Timestamp,
    pub retries_since: Timestamp,
    pub next_attempt_at: Timestamp,
    pub lease_until: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    /// Whether the notification was meant for another target.
    pub is_fallback: bool,
    /// Whether the fallback has it already.
    pub is_escalated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverySubject {
    Alert {
        episode: Uuid,
        /// Whether it is the last of its episode.
        is_end: bool,
    },
    HealthCheck,
    /// A digest, heartbeat or test.
    Other,
}

/// What a target's declaration and the settings say about its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    pub late: LatePolicy,
    pub rate_limit: Option<RateLimit>,
    /// Whether people read it as it scrolls by.
    pub is_chat: bool,
    /// Messages per turn.
    pub at_once: u32,
    pub has_fallback: bool,
}

impl DeliveryQueue {
    pub fn get(&self, id: i64) -> Option<&QueuedDelivery> {
        self.deliveries.iter().find(|delivery| delivery.id == id)
    }

    /// [`QueuedDelivery::redelivery`] of one of these.
    pub fn redelivery(&self, id: i64) -> Redelivery {
        let queued = self.get(id);
        queued.map_or(Redelivery::No, QueuedDelivery::redelivery)
    }

    /// Whether the target has received another notification of the same episode.
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
    /// Whether the target may have received it: an earlier attempt ended without a response, or the
    /// replica that made it died.
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

    /// Whether it has waited for so long that it notifies nobody, unless it was attempted.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        self.retries_since + expires_after(self.priority) <= now
    }

    pub(super) fn is_late_page(&self, now: Timestamp) -> bool {
        self.priority == Severity::Page && self.due_since + LATE <= now
    }

    /// Until when it cannot be sent whatever its target takes; `None` if it is due.
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

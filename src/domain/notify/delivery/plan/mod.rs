//! What happens to each delivery that waits for one target: the answer to "why was it not sent?".
//!
//! [`plan`] decides, from the queue as it is at one moment, for every open delivery. The first row
//! that fits a delivery is its action:
//!
//! | delivery | condition | action |
//! |---|---|---|
//! | pending, never attempted | older than [`expires_after`](super::expires_after); not a health check, and not the end of an episode whose beginning was attempted | `Expire` |
//! | before a pending end of the same episode | the policy is not `deliver`; none of them is in progress; one was attempted, or has waited for [`LATE`] | `Collapse` |
//! | that end | the policy is quiet, and the target cannot know of the episode | `Collapse` |
//! | behind an older one of the same alert | | `Wait` as long as that one |
//! | being sent | its lease has not lapsed | `Wait` for the lease |
//! | failed before | its next attempt is later | `Wait` for it |
//! | due | the target asked for no requests | `Wait` until then |
//! | due | the circuit breaker is open, or one probe is under way | `Wait` for the next probe |
//! | due | the rate limit is used up | `Wait` for the next free slot |
//! | due, at a chat, beyond the most urgent that people read [one by one](super::chat_pace) | there are two or more of these, the last digest was long enough ago, and the circuit breaker is closed | `Digest`, one message |
//! | due, at a chat, beyond these | | `Wait` for the next message or digest |
//! | due | one of the most urgent, as many as circuit breaker, rate limit and concurrency allow | `Send` |
//! | due | | `Wait` for the next turn |
//!
//! Besides this, an episode may go to the `Fallback` as well ([`fallback`]).
//!
//! Cancelling is not here: whether a target is declared is no matter of its queue.

mod fallback;
#[cfg(test)]
mod laws;
mod queue;
#[cfg(test)]
mod storm;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use uuid::Uuid;

pub use fallback::ESCALATES_WITHIN;
pub use queue::{DeliveryPolicy, DeliveryQueue, DeliverySubject, QueuedDelivery};

use super::{
    DeliveryState, LATE, TargetState,
    chat_pace::ChatPace,
    circuit::{CircuitAllowance, TargetCondition},
    rate_limit::RateLimit,
};
use crate::domain::{
    model::time::Timestamp,
    slo::{LatePolicy, Severity},
};

/// The maximum number of deliveries in a digest; the rest waits for the next one. Each is settled
/// individually, and a message names only some.
const MOST_IN_DIGEST: usize = 200;
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryAction {
    /// Send it in a message of its own, now.
    Send(i64),
    /// Send all in one message, now. At least two.
    Digest(Vec<i64>),
    /// Never send it: it is too old to notify anyone of.
    Expire(i64),
    /// Never send it: its alert has resolved.
    Collapse(i64),
    /// Send it to the fallback as well, with all later deliveries of the episode.
    Fallback { episode: Uuid, from: i64 },
    /// Do not send it now.
    Wait {
        delivery: i64,
        /// The time of the next decision, not in the past. `now` means the next turn.
        until: Timestamp,
        reason: WaitReason,
    },
}

/// The reason why a delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// An older notification of the same alert is delivered first.
    Order,
    InProgress,
    /// The last attempt failed.
    Retry,
    /// The target asked for no requests (`Retry-After`).
    RetryAfter,
    CircuitOpen,
    RateLimit,
    /// The chat has received as many messages as people can read.
    ChatPace,
    /// The maximum for this turn is reached.
    Concurrency,
}

/// Decides what happens at `now` to the deliveries of one target.
///
/// The result is a function of the set of deliveries, not of their order. Expiries and collapses come
/// first, then fallbacks, what is sent, and what waits.
pub fn plan(
    queue: &DeliveryQueue,
    target: &TargetState,
    policy: &DeliveryPolicy,
    now: Timestamp,
) -> Vec<DeliveryAction> {
    let mut all: Vec<&QueuedDelivery> = queue.deliveries.iter().collect();
    all.sort_by_key(|delivery| delivery.id);
    let expired = expired(&all, now);
    let collapsed = collapsed(&all, &expired, policy.late, now);
    let ended: BTreeSet<i64> = expired.union(&collapsed).copied().collect();

    let mut actions: Vec<DeliveryAction> = Vec::new();
    actions.extend(expired.into_iter().map(DeliveryAction::Expire));
    actions.extend(collapsed.into_iter().map(DeliveryAction::Collapse));
    if policy.has_fallback {
        let escalated = fallback::episodes(&all, &ended, target, now);
        let actions_of = |(episode, from)| DeliveryAction::Fallback { episode, from };
        actions.extend(escalated.into_iter().map(actions_of));
    }
    let open: Vec<&QueuedDelivery> = all
        .into_iter()
        .filter(|delivery| delivery.state.is_open() && !ended.contains(&delivery.id))
        .collect();
    let urgency = open.iter().map(|delivery| delivery.priority);
    let urgency = urgency.chain(queue.urgency_of_others).max();
    if let Some(urgency) = urgency {
        let window = SendWindow::new(target, policy, urgency, now);
        actions.extend(turn(&open, &window, now));
    }
    actions
}

/// Returns the ids of expired deliveries. An end whose beginning was sent never expires, so that no
/// one is left with an open page.
fn expired(all: &[&QueuedDelivery], now: Timestamp) -> BTreeSet<i64> {
    let mut first_attempted: BTreeMap<Uuid, i64> = BTreeMap::new();
    for delivery in all {
        if let (Some(episode), 1..) = (delivery.episode(), delivery.attempts) {
            first_attempted.entry(episode).or_insert(delivery.id);
        }
    }
    let is_expired = |delivery: &&&QueuedDelivery| {
        let may_expire = match delivery.subject {
            DeliverySubject::Alert { episode, is_end } => {
                let known = first_attempted.get(&episode);
                !(is_end && known.is_some_and(|first| *first < delivery.id))
            }
            DeliverySubject::HealthCheck => false,
            DeliverySubject::Other => true,
        };
        may_expire
            && delivery.state == DeliveryState::Pending
            && delivery.attempts == 0
            && delivery.is_old(now)
    };
    let expired = all.iter().filter(is_expired);
    expired.map(|delivery| delivery.id).collect()
}

/// Returns the ids of deliveries that are obsolete since the alert has ended.
fn collapsed(
    all: &[&QueuedDelivery],
    expired: &BTreeSet<i64>,
    policy: LatePolicy,
    now: Timestamp,
) -> BTreeSet<i64> {
    let is_quiet = match policy {
        LatePolicy::Deliver => return BTreeSet::new(),
        LatePolicy::Collapse => false,
        LatePolicy::CollapseQuiet => true,
    };
    let is_open =
        |delivery: &QueuedDelivery| delivery.state.is_open() && !expired.contains(&delivery.id);
    let mut collapsed = BTreeSet::new();
    for end in all {
        let DeliverySubject::Alert {
            episode,
            is_end: true,
        } = end.subject
        else {
            continue;
        };
        if end.state != DeliveryState::Pending || expired.contains(&end.id) {
            continue;
        }
        let before: Vec<_> = all
            .iter()
            .filter(|delivery| delivery.id < end.id && delivery.episode() == Some(episode))
            .collect();
        let in_progress =
            |delivery: &QueuedDelivery| delivery.lease_until.is_some_and(|until| until > now);
        let is_late = |delivery: &QueuedDelivery| {
            is_open(delivery) && (delivery.attempts > 0 || delivery.due_since + LATE <= now)
        };
        if before.iter().any(|delivery| in_progress(delivery))
            || !before.iter().any(|delivery| is_late(delivery))
        {
            continue;
        }
        let overtaken = before.iter().filter(|delivery| is_open(delivery));
        collapsed.extend(overtaken.map(|delivery| delivery.id));
        if is_quiet && !before.iter().any(|delivery| delivery.may_be_known()) {
            collapsed.insert(end.id);
        }
    }
    collapsed
}

/// The number of messages that the target accepts now, and until when and why no more.
struct SendWindow {
    limit: usize,
    circuit_closed: bool,
    /// Set if it accepts none.
    closed_until: Option<(Timestamp, WaitReason)>,
    /// The rate limit, and the time at which a full burst is allowed again.
    rate_limit: Option<(RateLimit, Timestamp)>,
    /// Set for a chat.
    chat_pace: Option<ChatPace>,
}

impl SendWindow {
    /// Makes the window. `urgency` is the severity of the most urgent open delivery.
    fn new(
        target: &TargetState,
        policy: &DeliveryPolicy,
        urgency: Severity,
        now: Timestamp,
    ) -> Self {
        let rate_limit = policy.rate_limit.map(|rate| (rate, target.next_free_at));
        let by_rate = rate_limit.map_or(u32::MAX, |(rate, free_at)| rate.allows(free_at, now));
        let next_slot = rate_limit.map(|(rate, free_at)| rate.next_slot(free_at));
        let (by_circuit, next_probe) = match target.health.admits(now, urgency) {
            CircuitAllowance::All => (policy.at_once, None),
            CircuitAllowance::One => (1, None),
            CircuitAllowance::None => (0, target.health.next_allowed(urgency)),
        };
        let closed_until = [
            (Some(target.not_before), WaitReason::RetryAfter),
            (next_probe, WaitReason::CircuitOpen),
            (next_slot, WaitReason::RateLimit),
        ]
        .into_iter()
        .filter_map(|(until, reason)| Some((until?, reason)))
        .filter(|(until, _)| *until > now)
        .max();
        let limit = match closed_until {
            Some(_) => 0,
            None => by_circuit.min(by_rate),
        };
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            circuit_closed: matches!(target.health.condition, TargetCondition::Closed { .. }),
            closed_until,
            rate_limit,
            chat_pace: policy.is_chat.then_some(target.chat_pace),
        }
    }

    /// Selects from the due deliveries, most urgent first.
    fn select<'q>(&self, due: &[&'q QueuedDelivery], now: Timestamp) -> Selection<'q> {
        let singles = self.chat_pace.map_or(due.len(), |pace| pace.singles(now));
        let beyond = due.get(singles..).unwrap_or_default();
        let gathers = self.circuit_closed && beyond.len() > 1;
        let has_digest =
            gathers && self.limit > 0 && self.chat_pace.is_some_and(|pace| pace.allows_digest(now));
        let limit = self.limit - usize::from(has_digest);
        Selection {
            singly: due.iter().take(singles.min(limit)).copied().collect(),
            digest: beyond
                .iter()
                .take(if has_digest { MOST_IN_DIGEST } else { 0 })
                .copied()
                .collect(),
            gathers,
        }
    }

    /// Returns until when, and why, a due delivery waits that was not selected.
    fn wait(&self, selection: &Selection<'_>, now: Timestamp) -> (Timestamp, WaitReason) {
        let sent = selection.messages();
        let slot = self
            .rate_limit
            .map(|(rate, free_at)| rate.next_slot(rate.spend(free_at, now, sent)));
        let readable = self.chat_pace.map(|pace| {
            let (singles, has_digest) = (selection.singles(), !selection.digest.is_empty());
            let pace = pace.spent(now, singles, u32::from(has_digest));
            if selection.gathers {
                pace.next_single().min(pace.digest_free_at)
            } else {
                pace.next_single()
            }
        });
        let later = [
            (slot, WaitReason::RateLimit),
            (readable, WaitReason::ChatPace),
        ];
        let later = later
            .into_iter()
            .filter_map(|(until, reason)| Some((until?, reason)))
            .filter(|(until, _)| *until > now);
        self.closed_until
            .or(later.max())
            .unwrap_or((now, WaitReason::Concurrency))
    }
}

/// The deliveries to send in this turn.
struct Selection<'q> {
    singly: Vec<&'q QueuedDelivery>,
    digest: Vec<&'q QueuedDelivery>,
    /// True if there are more than people can read one by one.
    gathers: bool,
}

impl Selection<'_> {
    fn singles(&self) -> u32 {
        u32::try_from(self.singly.len()).unwrap_or(u32::MAX)
    }

    fn messages(&self) -> u32 {
        self.singles() + u32::from(!self.digest.is_empty())
    }
}

/// Returns the actions for what is sent in this turn and for what waits.
fn turn(open: &[&QueuedDelivery], window: &SendWindow, now: Timestamp) -> Vec<DeliveryAction> {
    let mut heads: BTreeMap<&str, &QueuedDelivery> = BTreeMap::new();
    for delivery in open {
        heads.entry(&delivery.ordering_key).or_insert(delivery);
    }
    let mut due: Vec<&QueuedDelivery> = heads
        .values()
        .copied()
        .filter(|head| head.busy_until(now).is_none())
        .collect();
    due.sort_by_key(|head| (Reverse(head.priority), head.next_attempt_at, head.id));

    let selection = window.select(&due, now);
    let ids = |all: &[&QueuedDelivery]| all.iter().map(|one| one.id).collect::<BTreeSet<i64>>();
    let (singly, digest) = (ids(&selection.singly), ids(&selection.digest));
    let sent: BTreeSet<i64> = singly.union(&digest).copied().collect();

    let waits = open.iter().filter(|delivery| !sent.contains(&delivery.id));
    let waits = waits.map(|delivery| {
        let head = heads
            .get(delivery.ordering_key.as_str())
            .unwrap_or(delivery);
        let (until, reason) = match head.busy_until(now) {
            Some(busy) => busy.max(window.closed_until.unwrap_or(busy)),
            // The next turn, since the duration of sending is unknown.
            None if sent.contains(&head.id) => (now, WaitReason::Order),
            None => window.wait(&selection, now),
        };
        let is_behind = head.id != delivery.id;
        DeliveryAction::Wait {
            delivery: delivery.id,
            until,
            reason: if is_behind { WaitReason::Order } else { reason },
        }
    });
    let waits: Vec<DeliveryAction> = waits.collect();
    let mut actions: Vec<DeliveryAction> = singly.into_iter().map(DeliveryAction::Send).collect();
    if !digest.is_empty() {
        actions.push(DeliveryAction::Digest(digest.into_iter().collect()));
    }
    actions.extend(waits);
    actions
}

//! Which alerts are sent to the fallback of a target as well: an episode, from its first beginning or
//! update on that
//!
//! - waits for [`LATE`](super::super::LATE), if it is a page; or was refused, or the target is
//!   misconfigured; or failed permanently within [`ESCALATES_WITHIN`];
//! - and does not end as expired or collapsed;
//! - and neither came from another target's fallback nor was escalated before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use uuid::Uuid;

use super::queue::{DeliverySubject, QueuedDelivery};
use crate::domain::{
    model::time::Timestamp,
    notify::delivery::{DeliveryState, TargetState, circuit::TargetCondition},
};

/// The time within which a permanent failure is escalated; older ones have been noticed.
pub const ESCALATES_WITHIN: Duration = Duration::from_mins(10);

/// Returns the episodes to escalate, with the first delivery of each. A fallback does not pass an
/// episode on to its own fallback, and an end alone is not escalated: a target that never received the
/// beginning need not receive the end.
pub(super) fn episodes(
    all: &[&QueuedDelivery],
    ended: &BTreeSet<i64>,
    target: &TargetState,
    now: Timestamp,
) -> BTreeMap<Uuid, i64> {
    let misconfigured = matches!(
        target.health.condition,
        TargetCondition::Misconfigured { .. }
    );
    let hops: BTreeSet<Uuid> = all
        .iter()
        .filter(|delivery| delivery.is_fallback)
        .filter_map(|delivery| delivery.episode())
        .collect();
    let mut first: BTreeMap<Uuid, i64> = BTreeMap::new();
    for delivery in all.iter().filter(|delivery| !ended.contains(&delivery.id)) {
        let DeliverySubject::Alert {
            episode,
            is_end: false,
        } = delivery.subject
        else {
            continue;
        };
        let is_overdue = if delivery.state.is_open() {
            misconfigured || delivery.was_refused() || delivery.is_late_page(now)
        } else {
            let failed_at = delivery
                .settled_at
                .filter(|_| delivery.state == DeliveryState::Failed);
            failed_at.is_some_and(|at| at + ESCALATES_WITHIN > now)
        };
        let is_over = delivery.attempts == 0 && delivery.is_old(now);
        if is_overdue && !is_over && !delivery.is_escalated && !hops.contains(&episode) {
            first.entry(episode).or_insert(delivery.id);
        }
    }
    first
}

//! Records the result of an attempt: the state of its delivery, and the state of the target.

use std::time::Duration;

use super::{
    attempt::{AttemptResult, ResponseClass},
    deliverer::{Deliverer, DeliveryReport},
    sender::Dispatch,
};
use crate::{
    domain::{
        model::time::Timestamp,
        notify::{
            Notification,
            delivery::{
                Attempt, AttemptClass, Settlement,
                circuit::TargetCondition,
                retry::{Attempts, EndedAttempt, obeyed},
            },
        },
        slo::Target,
    },
    failpoint::{self, Failpoint},
    store::{ClaimedDelivery, Lease, StoreError, Tx},
};

impl Deliverer {
    /// Settles all deliveries of a message, in one transaction.
    pub(super) async fn settle(
        &self,
        target: &Target,
        dispatch: &Dispatch,
        tried: AttemptResult,
        started_at: Timestamp,
        took: Duration,
    ) -> Result<DeliveryReport, StoreError> {
        let now = started_at + took;
        let mut report = DeliveryReport::default();
        let mut tx = self.store.begin("settle a delivery").await?;
        note_target(&mut tx, target, tried.reaction, now).await?;
        // A digest does not begin a thread.
        if let (Some(reference), Some(content), None) = (
            &tried.reference,
            &dispatch.delivery.content,
            &dispatch.digest,
        ) {
            tx.keep_target_reference(&target.name, content.episode(), reference, now)
                .await?;
        }
        for claimed in std::iter::once(&dispatch.delivery).chain(&dispatch.with) {
            let settlement = settlement(claimed, tried.reaction, now);
            let attempt = attempt(claimed, &tried, settlement, started_at, took);
            log(target, claimed, &attempt);
            report.add(settle_one(&mut tx, target, claimed, settlement, &attempt).await?);
        }
        tx.commit().await?;
        failpoint::reach(Failpoint::DeliverySettled);
        Ok(report)
    }
}

async fn settle_one(
    tx: &mut Tx<'_>,
    target: &Target,
    claimed: &ClaimedDelivery,
    settlement: Settlement,
    attempt: &Attempt,
) -> Result<DeliveryReport, StoreError> {
    tx.record_attempt(claimed.id, attempt).await?;
    if let (Settlement::Delivered(at), Some(Notification::Alert(_))) =
        (settlement, &claimed.content)
    {
        tx.keep_target_alert(&target.name, claimed.message, at)
            .await?;
    }
    let lease = tx
        .settle_delivery(claimed.id, claimed.lease_token, settlement)
        .await?;
    if lease == Lease::Lost {
        tracing::warn!(delivery.id = claimed.id, "lost the lease of a delivery");
    }
    Ok(DeliveryReport {
        attempts: vec![attempt.class],
        dead: u64::from(matches!(settlement, Settlement::Failed(_))),
        leases_lost: u64::from(lease == Lease::Lost),
        delivered_after: delivered_after(claimed, settlement),
        ..DeliveryReport::default()
    })
}

fn attempt(
    claimed: &ClaimedDelivery,
    tried: &AttemptResult,
    settlement: Settlement,
    started_at: Timestamp,
    took: Duration,
) -> Attempt {
    Attempt {
        number: claimed.attempt,
        started_at,
        duration_ms: i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
        class: tried.reaction.class,
        http_status: tried.http_status.map(i32::from),
        excerpt: tried.excerpt.clone(),
        retry_at: match settlement {
            Settlement::Again(at) => Some(at),
            Settlement::Delivered(_) | Settlement::Failed(_) => None,
        },
    }
}

/// Returns the time from the evaluation until now; only for alerts, since platform notifications
/// have no evaluation.
fn delivered_after(claimed: &ClaimedDelivery, settlement: Settlement) -> Vec<Duration> {
    match (settlement, &claimed.content) {
        (Settlement::Delivered(at), Some(Notification::Alert(facts))) => {
            vec![at.saturating_since(facts.evaluated_at)]
        }
        _ => Vec::new(),
    }
}

/// Records the state of the target after the attempt, for all replicas.
async fn note_target(
    tx: &mut Tx<'_>,
    target: &Target,
    reaction: ResponseClass,
    now: Timestamp,
) -> Result<(), StoreError> {
    let name = &target.name;
    let mut state = tx.lock_target(name).await?;
    let before = state.health.condition;
    state.health = state.health.after(reaction.class, now);
    if let Some(asked) = reaction.retry_after {
        state.not_before = state.not_before.max(now + obeyed(asked));
    }
    tx.keep_target(name, &state).await?;
    let after = state.health.condition;
    let (was, is) = (before.as_str(), after.as_str());
    match (before, after) {
        (TargetCondition::Closed { .. }, TargetCondition::Closed { .. }) => {}
        (_, TargetCondition::Closed { .. }) => {
            tx.make_deliveries_due(name, now).await?;
            tracing::info!(notify.target = %name, "target `{name}` answers again");
        }
        (_, TargetCondition::Open { .. }) if was != is => tracing::warn!(
            notify.target = %name, "the circuit breaker of target `{name}` is open: one delivery at a time is attempted"
        ),
        (_, TargetCondition::Misconfigured { .. }) if was != is => tracing::error!(
            notify.target = %name, "target `{name}` is misconfigured: correct its definition or the receiver"
        ),
        (_, TargetCondition::Open { .. } | TargetCondition::Misconfigured { .. }) => {}
    }
    Ok(())
}

fn settlement(claimed: &ClaimedDelivery, reaction: ResponseClass, now: Timestamp) -> Settlement {
    let ended = EndedAttempt {
        class: reaction.class,
        retry_after: reaction.retry_after,
        attempts: Attempts {
            made: claimed.attempt.unsigned_abs(),
            since: claimed.retries_since,
        },
        priority: claimed.priority,
        is_brief: claimed.content.as_ref().is_some_and(Notification::is_brief),
    };
    ended.settlement(now, rand::random_range(-1.0..=1.0))
}

fn log(target: &Target, claimed: &ClaimedDelivery, attempt: &Attempt) {
    let (name, id, class) = (&target.name, claimed.id, attempt.class);
    let excerpt = attempt.excerpt.as_deref().unwrap_or("");
    match (class, attempt.retry_at) {
        (AttemptClass::Delivered, _) => {
            tracing::info!(notify.target = %name, delivery.id = id, "delivered to target `{name}`");
        }
        (_, Some(at)) => tracing::warn!(
            notify.target = %name, delivery.id = id, class = %class,
            "delivery to target `{name}` failed, retrying at {at}: {class}: {excerpt}"
        ),
        (_, None) => tracing::error!(
            notify.target = %name, delivery.id = id, class = %class,
            "delivery to target `{name}` failed permanently: {class}: {excerpt}"
        ),
    }
}

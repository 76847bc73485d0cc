//! Sends to a target's fallback the deliveries that the target does not receive.

use super::deliverer::Deliverer;
use crate::{
    domain::{
        model::time::Timestamp,
        notify::delivery::plan::{DeliveryAction, plan},
        slo::Target,
    },
    store::{Escalation, StoreError},
};

impl Deliverer {
    /// Escalates the overdue deliveries of every target with a fallback. Returns how many.
    pub async fn escalate(&self, now: Timestamp) -> Result<u64, StoreError> {
        let targets: Vec<_> = self.catalog.borrow().targets.values().cloned().collect();
        let mut escalated = 0;
        for target in targets {
            escalated += self.escalate_from(&target, now).await?;
        }
        Ok(escalated)
    }

    async fn escalate_from(&self, target: &Target, now: Timestamp) -> Result<u64, StoreError> {
        let Some(fallback) = &target.fallback else {
            return Ok(0);
        };
        let mut tx = self
            .store
            .begin("escalate deliveries to a fallback")
            .await?;
        let Some((state, queue)) = tx.lock_unescalated(&target.name, now).await? else {
            return Ok(0);
        };
        let policy = self.policy(target);
        let (mut episodes, mut from) = (Vec::new(), Vec::new());
        for action in plan(&queue, &state, &policy, now) {
            if let DeliveryAction::Fallback { episode, from: id } = action {
                episodes.push(episode);
                from.push(id);
            }
        }
        if episodes.is_empty() {
            return Ok(0);
        }
        let escalation = Escalation {
            target: &target.name,
            fallback,
            episodes: &episodes,
            from: &from,
        };
        let count = tx.escalate(escalation, now).await?;
        tx.commit().await?;
        if count > 0 {
            let name = &target.name;
            tracing::warn!(
                notify.target = %name, notify.fallback = %fallback, count,
                "target `{name}` does not receive notifications: sent to its fallback `{fallback}` as well"
            );
        }
        Ok(count)
    }
}

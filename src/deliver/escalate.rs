//! Makes the fallback of a target tell what the target itself is not told.

use super::deliverer::Deliverer;
use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::LATE,
    },
    store::{Escalation, StoreError},
};

impl Deliverer {
    /// Hands over what is overdue at every target that has a fallback. Returns how many deliveries.
    pub async fn hand_over(&self, now: Timestamp) -> Result<u64, StoreError> {
        let pairs: Vec<(Name, Name)> = self
            .catalog
            .borrow()
            .targets
            .values()
            .filter_map(|target| Some((target.name.clone(), target.fallback.clone()?)))
            .collect();
        let mut handed = 0;
        for (target, fallback) in &pairs {
            let escalation = Escalation {
                target,
                fallback,
                patience: LATE,
            };
            let mut tx = self
                .store
                .begin("hand deliveries over to a fallback")
                .await?;
            let count = tx.escalate(escalation, now).await?;
            tx.commit().await?;
            if count > 0 {
                tracing::warn!(
                    notify.target = %target, notify.fallback = %fallback, count,
                    "target `{target}` is not reached: `{fallback}` is told as well"
                );
            }
            handed += count;
        }
        Ok(handed)
    }
}

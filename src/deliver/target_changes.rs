//! Follows changes of the targets while alerts fire: a renamed target keeps its deliveries, and an added
//! one is notified of the alerts that fire.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    domain::{
        alerting::quality,
        model::{ids::Name, time::Timestamp},
        notify::delivery::alert_key,
        slo::Catalog,
    },
    store::{FiringAlert, NewDeliveries, Store, StoreError, Tx},
};

#[derive(Clone, Debug)]
pub struct TargetChanges {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// The target that gets tickets on data quality of SLOs without a ticket target.
    platform_target: Option<Name>,
}

/// Deliveries that follow from a change of the definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowedChanges {
    /// Deliveries that were moved to the present name of their target.
    pub renamed: u64,
    /// Deliveries of firing alerts to targets that were added since.
    pub added: u64,
}

impl TargetChanges {
    pub const fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        platform_target: Option<Name>,
    ) -> Self {
        Self {
            store,
            catalog,
            platform_target,
        }
    }

    /// Applies the changes. Called when definitions are activated and every minute, since a replica
    /// that does not know them yet may still write deliveries to the old targets.
    pub async fn tick(&self, now: Timestamp) -> Result<FollowedChanges, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let mut tx = self.store.begin("follow changes of targets").await?;
        let mut changes = FollowedChanges::default();
        if !catalog.former_targets.is_empty() {
            changes.renamed = tx.rename_targets(&catalog.former_targets).await?;
        }
        for alert in tx.firing_alerts().await? {
            changes.added += self.notify_added(&mut tx, &catalog, alert, now).await?;
        }
        tx.commit().await?;
        if changes != FollowedChanges::default() {
            tracing::info!(
                renamed = changes.renamed,
                added = changes.added,
                "targets have changed while alerts fire"
            );
        }
        Ok(changes)
    }

    async fn notify_added(
        &self,
        tx: &mut Tx<'_>,
        catalog: &Catalog,
        alert: FiringAlert,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let facts = &alert.facts;
        let Some(slo) = catalog.slos.get(&facts.slo) else {
            return Ok(0);
        };
        let platform = self.platform_target.as_ref();
        let mut targets = quality::recipients(&slo.notify, facts.severity, &facts.rule, platform);
        targets.retain(|target| !alert.notified.contains(target));
        if targets.is_empty() {
            return Ok(0);
        }
        let queued = NewDeliveries {
            transition: alert.opening,
            targets: &targets,
            ordering_key: &alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
            severity: facts.severity,
        };
        tx.enqueue_deliveries(queued, now).await
    }
}

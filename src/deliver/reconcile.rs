//! Compares what targets show with the state of the alerts, and adds the missing deliveries.
//!
//! This covers unforeseen failures, such as a restored backup: the rest of the service reports
//! changes, and this compares states. Every addition is counted, since none should ever be needed.
//!
//! Ends are sent to every kind of target. Each is sent once, and a repeated end is harmless for
//! PagerDuty, Alertmanager and programs. A chat may receive the end of an alert whose beginning it
//! never received, which is intended.
//!
//! A target that is not yet a recipient of an alert is not missing a delivery: it was added later.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        slo::Catalog,
    },
    store::{Store, StoreError},
};

/// A more recent state is ignored, since the transaction that updates it may still follow.
const SETTLES_WITHIN: Duration = Duration::from_mins(1);
/// The duration for which an alert may fire before at least one target must show it.
const SHOWN_WITHIN: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub struct Reconciler {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
}

/// Deliveries that were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Ends of alerts, for targets that still show them as firing.
    pub ends: u64,
    /// Beginnings of alerts that no target shows.
    pub beginnings: u64,
}

impl Reconciler {
    pub const fn new(store: Store, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self { store, catalog }
    }

    pub async fn tick(&self, now: Timestamp) -> Result<Reconciliation, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let targets: Vec<Name> = catalog.targets.keys().cloned().collect();
        let mut tx = self.store.begin("compare targets with alerts").await?;
        let repairs = Reconciliation {
            ends: tx
                .reconcile_ends(&targets, now, now - SETTLES_WITHIN)
                .await?,
            beginnings: tx
                .revive_beginnings(&targets, now, now - SHOWN_WITHIN)
                .await?,
        };
        let has_repaired = repairs != Reconciliation::default();
        if has_repaired {
            tx.note_reconciled(now).await?;
        }
        tx.commit().await?;
        if has_repaired {
            tracing::error!(
                ends = repairs.ends,
                beginnings = repairs.beginnings,
                "reconciliation found missing deliveries and added them"
            );
        }
        Ok(repairs)
    }
}

//! Holds what targets show against how the alerts stand, and tells what is missing.
//!
//! It catches what nobody has thought of, a restored backup among it: everything else here tells what
//! happened, and this what is. Every repair is counted, since none is ever needed by the rules.
//!
//! Ends are told to every kind of target: they are told once each, and an end twice would be harmless
//! where it matters (PagerDuty, Alertmanager, programs). A channel that only scrolls by hears of one
//! that it never heard of, which is what it should.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::alert_key,
        slo::{Catalog, Severity},
    },
    store::{NewDeliveries, Store, StoreError, Tx},
};

/// What was told so recently may still be followed by the transaction that ends it.
const SETTLES_WITHIN: Duration = Duration::from_mins(1);
/// So long an alert may fire before somebody must show it.
const SHOWN_WITHIN: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub struct Reconciler {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
}

/// Deliveries that were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// Of ends, at targets that show an alert as firing that is over.
    pub ends: u64,
    /// Of beginnings, of alerts that nobody shows.
    pub beginnings: u64,
}

impl Reconciler {
    pub const fn new(store: Store, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self { store, catalog }
    }

    pub async fn tick(&self, now: Timestamp) -> Result<Repairs, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let targets: Vec<Name> = catalog.targets.keys().cloned().collect();
        let mut tx = self
            .store
            .begin("hold what targets show against alerts")
            .await?;
        let repairs = Repairs {
            ends: tx
                .reconcile_ends(&targets, (now, now - SETTLES_WITHIN))
                .await?,
            beginnings: add_beginnings(&mut tx, &catalog, now).await?,
        };
        let has_repaired = repairs != Repairs::default();
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

/// Adds the missing deliveries of the beginnings of alerts that no target shows, to the targets that are
/// declared now. Returns how many.
async fn add_beginnings(
    tx: &mut Tx<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut added = 0;
    for (transition, facts) in tx.undelivered_alerts(now - SHOWN_WITHIN).await? {
        let Some(slo) = catalog.slos.get(&facts.slo) else {
            continue;
        };
        let targets = match facts.severity {
            Severity::Page => &slo.notify.page,
            Severity::Ticket => &slo.notify.ticket,
        };
        let news = NewDeliveries {
            transition,
            targets,
            ordering_key: &alert_key(&facts.slo, facts.group.as_ref(), facts.severity),
            severity: facts.severity,
        };
        added += tx.revive_deliveries(transition, now).await?;
        added += tx.enqueue_deliveries(news, now).await?;
    }
    Ok(added)
}

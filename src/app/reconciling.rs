//! The self-check of what targets show, every minute.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::{loops::Loops, periodic::Periodic};
use crate::deliver::Reconciler;

/// What is found missing is late already.
const RECONCILE_INTERVAL: Duration = Duration::from_mins(1);

impl Loops {
    pub(super) fn spawn_reconciler(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let (store, catalog) = (self.store.clone(), self.in_force.catalog.clone());
        let (reconciler, metrics) = (Reconciler::new(store, catalog), self.metrics.clone());
        tasks.spawn(
            periodic
                .clone()
                .run("reconcile", RECONCILE_INTERVAL, move |now| {
                    let (reconciler, metrics) = (reconciler.clone(), metrics.clone());
                    async move {
                        let repairs = reconciler.tick(now).await?;
                        let repaired = &metrics.reconciled_deliveries;
                        repaired
                            .with_label_values(&["resolved"])
                            .inc_by(repairs.ends);
                        let beginnings = repaired.with_label_values(&["firing"]);
                        beginnings.inc_by(repairs.beginnings);
                        Ok(repairs)
                    }
                }),
        );
    }
}

//! The periodic check of what targets show, and of changes of the targets.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::{Loops, periodic::Periodic};
use crate::deliver::{Reconciler, TargetChanges};

/// Short, since a missing delivery is late already.
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

    pub(super) fn spawn_target_changes(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let catalog = self.in_force.catalog.clone();
        let platform_target = self.config.watching.platform_target.clone();
        let changes = TargetChanges::new(self.store.clone(), catalog.clone(), platform_target);
        let following = periodic.clone().run_on_change(
            "target_changes",
            RECONCILE_INTERVAL,
            catalog,
            move |now| {
                let changes = changes.clone();
                async move { Ok(changes.tick(now).await?) }
            },
        );
        tasks.spawn(following);
    }
}

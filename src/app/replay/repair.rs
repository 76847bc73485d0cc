//! Follows a service whose database is repaired: its clock, its definitions and its watermark.

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    app::{catalog::CatalogKeeper, loops::SECOND, read_clock},
    domain::model::time::Timestamp,
    recording::Committer,
};

#[derive(Debug)]
pub(super) struct Repair {
    committer: Committer,
    watermark: watch::Sender<Timestamp>,
    keeper: CatalogKeeper,
}

impl Repair {
    pub(super) const fn new(
        committer: Committer,
        watermark: watch::Sender<Timestamp>,
        keeper: CatalogKeeper,
    ) -> Self {
        Self {
            committer,
            watermark,
            keeper,
        }
    }

    /// Reads the current clock, definitions and watermark of the service.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let (store, clock) = (&self.committer.store, &self.committer.clock);
        read_clock(store, clock).await?;
        self.keeper.follow_service().await?;
        let now = clock.now();
        let mut tx = store.begin("read the watermark").await?;
        let watermark = tx.watermark().await?;
        tx.commit().await?;
        // Before a first heartbeat nothing is overdue.
        let up_to = watermark.map_or(Timestamp::UNIX_EPOCH, |found| found.as_of(now));
        self.watermark.send_replace(up_to);
        self.committer.stages.tick(now).await?;
        Ok(())
    }

    /// Follows every second; waits while the database is unavailable.
    pub(super) async fn keep_following(&mut self) {
        let mut timer = interval(SECOND);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            if let Err(error) = self.follow().await {
                tracing::warn!("cannot follow the service yet: {error:#}");
            }
        }
    }
}

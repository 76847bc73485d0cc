//! Backtest: judges a log that is read again by the time of the log, in a database of its own.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    app::{catalog::CatalogKeeper, prepare},
    clock::ManualClock,
    domain::{
        model::time::{TimeRange, Timestamp},
        workflow::watermark::{
            log::LogLoss,
            replay::{MessageTime, ReplayTime},
        },
    },
    evaluate::{overdue::DeadlineScan, resolve_links::LinkResolver, stages::StageAggregator},
    ingest::kafka::replay::RemovedMessages,
    recording::Committer,
    store::StoreError,
};

/// The interval between checks for timeouts, by the time of the log.
const JUDGED_EVERY: Duration = Duration::from_mins(1);
/// Partitions are made for two days.
const PREPARED_EVERY: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Backtest {
    committer: Committer,
    clock: ManualClock,
    watermark: watch::Sender<Timestamp>,
    time: ReplayTime,
    range: TimeRange,
    horizon: Duration,
    judged_at: Timestamp,
    prepared_at: Timestamp,
}

impl Backtest {
    pub(super) fn new(
        committer: Committer,
        clock: ManualClock,
        watermark: watch::Sender<Timestamp>,
        range: TimeRange,
        horizon: Duration,
    ) -> Self {
        Self {
            committer,
            clock,
            watermark,
            time: ReplayTime::new(range),
            range,
            horizon,
            judged_at: range.from,
            prepared_at: range.from,
        }
    }

    /// Activates the definitions, as if a service had been installed when the log begins.
    pub(super) async fn begin(
        &self,
        mut keeper: CatalogKeeper,
        removed: &[RemovedMessages],
    ) -> anyhow::Result<()> {
        let from = self.range.from;
        prepare(&self.committer.store, from, self.horizon).await?;
        keeper.start(from).await?;
        for gap in removed {
            self.note_loss(TimeRange::new(from, gap.until)).await?;
        }
        Ok(())
    }

    /// Follows the messages that are committed next, of which the first and the last were written at
    /// `times`.
    pub(super) async fn follow(&mut self, times: (MessageTime, MessageTime)) -> anyhow::Result<()> {
        self.time.follow(times);
        self.show().await
    }

    /// Judges what is due at the end of the range. What comes after it is not read, so workflows that wait
    /// then become evidence lost.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        self.time.finish();
        self.show().await?;
        self.judge().await?;
        let now = self.committer.store.now().await?;
        self.note_loss(TimeRange::new(self.range.to, now)).await?;
        Ok(())
    }

    async fn show(&mut self) -> anyhow::Result<()> {
        let now = self.time.now();
        self.clock.set(now);
        self.watermark.send_replace(self.time.up_to());
        if now >= self.prepared_at + PREPARED_EVERY {
            prepare(&self.committer.store, now, self.horizon).await?;
            self.prepared_at = now;
        }
        self.committer.stages.tick(now).await?;
        if now >= self.judged_at + JUDGED_EVERY {
            self.judge().await?;
            self.judged_at = now;
        }
        Ok(())
    }

    async fn judge(&self) -> Result<(), StoreError> {
        let Committer {
            store,
            writer,
            classifier,
            catch_up,
            ..
        } = self.committer.clone();
        let (now, up_to) = (self.time.now(), self.time.up_to());
        let unplaced = LinkResolver {
            store: store.clone(),
            writer,
            classifier: classifier.clone(),
            catch_up,
        };
        unplaced.tick(now, up_to).await?;
        let overdue = DeadlineScan {
            store: store.clone(),
            writer,
            classifier: classifier.clone(),
            catch_up,
        };
        overdue.tick(now, up_to).await?;
        StageAggregator { store, classifier }.tick(now).await?;
        Ok(())
    }

    /// Records that the evidence of `range` is missing.
    async fn note_loss(&self, range: TimeRange) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let loss = LogLoss {
            messages: None,
            from: Some(range.from),
            until: range.to,
        };
        let mut tx = self
            .committer
            .store
            .begin("record partitions that are not read")
            .await?;
        tx.note_log_loss(&loss).await?;
        tx.commit().await
    }
}

//! Judges workflows whose deadline has passed without an end.
//!
//! This makes a stalled system visible: no spans arrive, and its workflows become bad events.
//! Timeouts are also judged again when it turns out that evidence was lost.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    domain::{
        model::time::Timestamp,
        slo::{Indicator, Slo},
        workflow::{JudgingContext, classify::Classifier},
    },
    recording::{JudgedDue, Recording},
    store::{LearnedSampling, Loss, SpanCounts, Store, StoreError, Tx, Writer},
};

/// The maximum number of rows in one transaction.
const BATCH: i64 = 2_000;

#[derive(Clone, Debug)]
pub struct DeadlineScan {
    pub store: Store,
    pub writer: Writer,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
}

/// The result of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverdueReport {
    /// Workflows that were examined; nearly all of them get a verdict.
    pub judged: usize,
    /// Timeouts that are doubtful because evidence may be lost.
    pub doubted: usize,
}

/// Returns how long losses of evidence are kept: as long as a workflow that was open at that time
/// may change. Workflows are kept for about twice the horizon.
pub fn losses_kept<'a>(slos: impl Iterator<Item = &'a Slo>, horizon: Duration) -> Duration {
    let longest = slos.filter_map(|slo| match &slo.indicator {
        Indicator::Workflow(workflow) => Some(workflow.within),
        Indicator::Span(_) => None,
    });
    longest.max().unwrap_or_default() + horizon * 3
}

impl DeadlineScan {
    /// Judges all workflows that are due by `watermark`. Any number of replicas may do so at once.
    pub async fn tick(
        &self,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<OverdueReport, StoreError> {
        let mut report = OverdueReport::default();
        loop {
            let due = self.judge_batch(now, watermark).await?;
            report.judged += due.looked_at;
            if !due.are_more {
                break;
            }
        }
        report.doubted = self.doubt_timeouts(now, watermark).await?;
        Ok(report)
    }

    async fn judge_batch(
        &self,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<JudgedDue, StoreError> {
        let classifier = Arc::clone(&self.classifier.borrow());
        let (mut tx, state) = self
            .store
            .begin_recording("judge overdue workflows")
            .await?;
        let context = self.context(&mut tx, now, watermark).await?;
        let judging = |slo| classifier.judging(slo, &context);
        let mut recording = Recording::new(&mut tx, state, &judging);
        let due = recording.judge_due(&context, BATCH).await?;
        self.write_counts(recording, now).await?;
        tx.commit().await?;
        Ok(due)
    }

    async fn context(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<JudgingContext, StoreError> {
        Ok(JudgingContext {
            now,
            watermark,
            catch_up: self.catch_up,
            observed: tx.end_observations(now).await?,
        })
    }

    /// Judges again the timeouts that are affected by ends that were lost or sampled.
    async fn doubt_timeouts(
        &self,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<usize, StoreError> {
        let mut tx = self
            .store
            .begin("read new losses and sampling of ends")
            .await?;
        let (losses, learned) = (tx.new_losses().await?, tx.new_end_sampling().await?);
        tx.commit().await?;
        if losses.is_empty() && learned.is_empty() {
            return Ok(0);
        }
        let mut tx = self.store.begin("wait for running verdicts").await?;
        tx.wait_for_judges().await?;
        tx.commit().await?;
        let mut doubted = 0;
        for loss in losses {
            doubted += self.hold_against(loss, now, watermark).await?;
        }
        for learned in learned {
            self.rejudge_by(&learned, now, watermark).await?;
        }
        Ok(doubted)
    }

    /// Judges again all timeouts of an SLO whose ends are sampled at another rate than was known.
    async fn rejudge_by(
        &self,
        learned: &LearnedSampling,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<(), StoreError> {
        let classifier = Arc::clone(&self.classifier.borrow());
        let mut after = None;
        loop {
            let (mut tx, state) = self
                .store
                .begin_recording("judge timeouts by their sampling")
                .await?;
            let context = self.context(&mut tx, now, watermark).await?;
            let judging = |slo| classifier.judging(slo, &context);
            let mut recording = Recording::new(&mut tx, state, &judging);
            let judged = recording.rejudge_timeouts(learned.slo(), after, BATCH);
            let last = judged.await?;
            self.write_counts(recording, now).await?;
            if last.is_none() {
                tx.note_sampling_applied(learned).await?;
            }
            tx.commit().await?;
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    async fn hold_against(
        &self,
        loss: Loss,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<usize, StoreError> {
        let mut doubted = 0;
        loop {
            let looked_at = self.doubt_batch(loss, now, watermark).await?;
            doubted += looked_at;
            if is_last(looked_at) {
                return Ok(doubted);
            }
        }
    }

    async fn doubt_batch(
        &self,
        loss: Loss,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<usize, StoreError> {
        let classifier = Arc::clone(&self.classifier.borrow());
        let (mut tx, state) = self
            .store
            .begin_recording("judge timeouts by what was lost")
            .await?;
        let context = self.context(&mut tx, now, watermark).await?;
        let judging = |slo| classifier.judging(slo, &context);
        let mut recording = Recording::new(&mut tx, state, &judging);
        let looked_at = recording.doubt_timeouts(loss, BATCH).await?;
        self.write_counts(recording, now).await?;
        if is_last(looked_at) {
            tx.note_applied(loss).await?;
        }
        tx.commit().await?;
        Ok(looked_at)
    }

    async fn write_counts(
        &self,
        recording: Recording<'_, '_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let spans = SpanCounts::default();
        recording.write_counts(self.writer, now, &spans).await
    }
}

/// Returns whether a batch was not full, so that no other follows.
fn is_last(looked_at: usize) -> bool {
    i64::try_from(looked_at).is_ok_and(|looked_at| looked_at < BATCH)
}

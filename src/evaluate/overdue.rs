//! Judges workflows whose deadline has passed without a word.
//!
//! This is what makes a stall visible: nothing arrives, yet the promise is broken.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    domain::{classify::Classifier, sampling::EndSampling, time::Timestamp},
    store::{Store, StoreError, Writer},
};

/// Rows of one transaction.
const BATCH: i64 = 2_000;

#[derive(Clone, Debug)]
pub struct Overdue {
    pub store: Store,
    pub writer: Writer,
    pub classifier: watch::Receiver<Arc<Classifier>>,
}

/// One turn's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverdueReport {
    /// Workflows looked at: nearly all of them get a verdict.
    pub judged: usize,
}

impl Overdue {
    /// Judges all that is due by `watermark`. Any number of replicas may do so at once.
    pub async fn tick(
        &self,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<OverdueReport, StoreError> {
        let mut report = OverdueReport::default();
        loop {
            let looked_at = self.judge_batch(now, watermark).await?;
            report.judged += looked_at;
            if i64::try_from(looked_at).is_ok_and(|looked_at| looked_at < BATCH) {
                return Ok(report);
            }
        }
    }

    async fn judge_batch(&self, now: Timestamp, watermark: Timestamp) -> Result<usize, StoreError> {
        let classifier = Arc::clone(&self.classifier.borrow());
        let mut tx = self.store.begin("judge overdue workflows").await?;
        let learned = tx.end_sampling(now - EndSampling::REMEMBERED).await?;
        let judging = |slo| classifier.judging(slo, watermark, &learned);
        let (looked_at, moves) = tx.judge_due(watermark, BATCH, &judging).await?;
        tx.add_counts(self.writer, &moves).await?;
        tx.add_evidence_counts(now, &std::collections::BTreeMap::new(), &moves.noted)
            .await?;
        tx.commit().await?;
        Ok(looked_at)
    }
}

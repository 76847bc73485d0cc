//! Resolves evidence that became resolvable in a larger number than one request may wait for, and
//! carries out the checks of replicas that died before theirs.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    domain::{
        model::time::Timestamp,
        workflow::{JudgingContext, classify::Classifier},
    },
    recording::{Recording, check_links},
    store::{Store, StoreError, Writer},
};

#[derive(Clone, Debug)]
pub struct LinkResolver {
    pub store: Store,
    pub writer: Writer,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
}

/// The result of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkResolverReport {
    pub placed: usize,
}

impl LinkResolver {
    /// Resolves all evidence that is ready for it. Any number of replicas may do so at once.
    pub async fn tick(
        &self,
        now: Timestamp,
        watermark: Timestamp,
    ) -> Result<LinkResolverReport, StoreError> {
        let mut report = LinkResolverReport::default();
        loop {
            let mut tx = self.store.begin("find evidence to place").await?;
            let is_there_more = tx.has_unresolved_links().await?;
            tx.commit().await?;
            if !is_there_more {
                return Ok(report);
            }
            report.placed += Box::pin(self.place_batch(now, watermark)).await?;
        }
    }

    async fn place_batch(&self, now: Timestamp, watermark: Timestamp) -> Result<usize, StoreError> {
        let (mut tx, state) = self
            .store
            .begin_recording("place evidence by its links")
            .await?;
        let classifier = Arc::clone(&self.classifier.borrow());
        let context = JudgingContext {
            now,
            watermark,
            catch_up: self.catch_up,
            observed: tx.end_observations(now).await?,
        };
        let judging = |slo| classifier.judging(slo, &context);
        let mut recording = Recording::new(&mut tx, state, &judging);
        let updates = recording.resolve_left().await?;
        let placed = updates.placed;
        let check = recording.record_updates(updates, self.writer, now).await?;
        tx.commit().await?;
        if let Some(check) = check {
            check_links(&self.store, self.writer, &judging, now, check).await?;
        }
        Ok(placed)
    }
}

//! Updates the table for searches of workflows, asynchronously, from the queue that recording
//! fills.

use crate::store::{Store, StoreError};

/// The maximum number of transactions in one turn; the next turn continues.
const BATCHES: usize = 50;

#[derive(Clone, Debug)]
pub struct SearchIndexer {
    pub store: Store,
}

/// The result of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Transactions whose workflows can now be found.
    pub transactions: u64,
}

impl SearchIndexer {
    /// Processes the queue until it is empty. Any number of replicas may do so at once.
    pub async fn tick(&self) -> Result<IndexReport, StoreError> {
        let mut report = IndexReport::default();
        for _ in 0..BATCHES {
            let mut tx = self.store.begin("index workflows for the search").await?;
            let taken = tx.index_queued().await?;
            tx.commit().await?;
            report.transactions += taken;
            if taken == 0 {
                break;
            }
        }
        Ok(report)
    }
}

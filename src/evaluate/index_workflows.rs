//! Writes the table by which people find workflows, behind recording: from the queue that recording
//! fills.

use crate::store::{Store, StoreError};

/// Transactions of one turn; the next turn goes on.
const BATCHES: usize = 50;

#[derive(Clone, Debug)]
pub struct SearchIndexer {
    pub store: Store,
}

/// One turn's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Transactions whose workflows can be found now.
    pub transactions: u64,
}

impl SearchIndexer {
    /// Empties the queue. Any number of replicas may do so at once.
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

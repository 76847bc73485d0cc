//! Commits several batches at the same time, and records them as committed in order.

use std::collections::BTreeMap;

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    messages::LogMessage,
    progress::{BatchRanges, SharedProgress},
    read::MessageReader,
};
use crate::{clock::Clock, ingest::consumer::TraceConsumer};
use std::sync::Arc;

/// Batches that are committed at the same time, or wait for an earlier one. Together they bound memory.
const MOST_BATCHES: usize = 4;

/// Messages that are committed together, and what is read with them.
#[derive(Debug)]
pub(super) struct BegunBatch {
    pub(super) messages: Vec<LogMessage>,
    pub(super) ranges: BatchRanges,
}

#[derive(Debug)]
pub(super) struct BatchCommitter<D> {
    pub(super) reader: MessageReader<D>,
    pub(super) progress: Arc<SharedProgress>,
    pub(super) clock: Clock,
    pub(super) shutdown: CancellationToken,
}

/// Batches in the order in which they were read.
#[derive(Debug, Default)]
struct BatchQueue {
    begun: u64,
    settled: u64,
    /// Committed, but one before them is not.
    early: BTreeMap<u64, BatchRanges>,
}

impl<D: TraceConsumer> BatchCommitter<D> {
    /// Commits until there are no more batches.
    pub(super) async fn run(self, mut batches: mpsc::Receiver<BegunBatch>) {
        let mut commits = JoinSet::new();
        let mut queue = BatchQueue::default();
        let mut are_more = true;
        while are_more || !commits.is_empty() {
            let has_room = queue.begun - queue.settled < MOST_BATCHES as u64;
            tokio::select! {
                biased;
                Some(commit) = commits.join_next() => {
                    // A batch that is not committed stays in the queue, so all later messages will
                    // be read again.
                    if let Ok((number, Some(ranges))) = commit {
                        queue.early.insert(number, ranges);
                        self.settle(&mut queue);
                    }
                }
                batch = batches.recv(), if has_room && are_more => match batch {
                    Some(batch) => {
                        commits.spawn(self.commit(queue.begun, batch));
                        queue.begun += 1;
                    }
                    None => are_more = false,
                },
            }
        }
    }

    fn commit(
        &self,
        number: u64,
        batch: BegunBatch,
    ) -> impl Future<Output = (u64, Option<BatchRanges>)> + Send + use<D> {
        let (reader, shutdown) = (self.reader.clone(), self.shutdown.clone());
        async move {
            let is_committed = reader.commit(batch.messages, &shutdown).await;
            (number, is_committed.then_some(batch.ranges))
        }
    }

    fn settle(&self, queue: &mut BatchQueue) {
        while let Some(ranges) = queue.early.remove(&queue.settled) {
            self.progress.settle(ranges, self.clock.now());
            queue.settled += 1;
        }
    }
}

//! The thread that receives messages from librdkafka and passes them on in batches.

use std::{sync::Arc, time::Duration};

use rdkafka::consumer::{CommitMode, Consumer as _};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{LogConsumer, commit_offsets},
    messages::{LogMessage, MessageBatch},
    progress::SharedProgress,
};

/// The maximum delay of a shutdown.
const IDLE: Duration = Duration::from_millis(100);
/// The time after which fetching pauses if batches cannot be passed on. The group still sees this
/// replica.
const PATIENCE: Duration = Duration::from_secs(1);
const OFFSETS_EVERY: Duration = Duration::from_secs(1);
/// The interval at which unchanged offsets are committed again.
const SAME_OFFSETS_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct PollLoop {
    pub(super) topic: Arc<str>,
    pub(super) consumer: Arc<LogConsumer>,
    pub(super) progress: Arc<SharedProgress>,
    pub(super) installation: Arc<str>,
    pub(super) shutdown: CancellationToken,
}

/// The time of the last commits of offsets to Kafka.
#[derive(Debug)]
struct LastCommits {
    new_at: Instant,
    all_at: Instant,
}

impl LastCommits {
    fn now() -> Self {
        let now = Instant::now();
        Self {
            new_at: now,
            all_at: now,
        }
    }
}

impl PollLoop {
    /// Reads until shutdown, then waits for commits in progress and leaves the group.
    pub(super) fn run(self, batches: mpsc::Sender<MessageBatch>) {
        let runtime = Handle::current();
        let mut batch = MessageBatch::default();
        let mut last = LastCommits::now();
        while !self.shutdown.is_cancelled() && !batches.is_closed() {
            let patience = batch.patience();
            if patience == Some(Duration::ZERO) {
                self.hand_on(&runtime, &batches, &mut batch);
            } else {
                self.poll(patience.unwrap_or(IDLE), &mut batch);
            }
            self.commit_if_due(&mut last);
        }
        drop(batches);
        self.progress.wait_until_settled();
        self.commit(CommitMode::Sync);
        self.consumer.unsubscribe();
    }

    fn poll(&self, patience: Duration, batch: &mut MessageBatch) {
        match self.consumer.poll(patience) {
            Some(Ok(message)) => batch.push(LogMessage::of(&message)),
            // librdkafka retries by itself; the check every second reports lasting problems.
            Some(Err(error)) => tracing::debug!(%error, "cannot read from Kafka"),
            None => {}
        }
    }

    /// Passes a batch on. While that has to wait, it polls without receiving messages: the group
    /// would regard a member that does not poll as dead.
    fn hand_on(
        &self,
        runtime: &Handle,
        batches: &mpsc::Sender<MessageBatch>,
        batch: &mut MessageBatch,
    ) {
        let room = || runtime.block_on(timeout(PATIENCE, batches.reserve()));
        let mut is_paused = false;
        while !self.shutdown.is_cancelled() && !batches.is_closed() {
            if let Ok(Ok(permit)) = room() {
                permit.send(std::mem::take(batch));
                break;
            }
            // Repeated each time: newly assigned partitions are not paused.
            self.pause();
            is_paused = true;
            self.poll(Duration::ZERO, batch);
        }
        if is_paused {
            self.resume();
        }
    }

    fn pause(&self) {
        let assigned = self.consumer.assignment();
        if let Err(error) = assigned.and_then(|assigned| self.consumer.pause(&assigned)) {
            tracing::warn!(%error, "cannot pause reading from Kafka");
        }
    }

    fn resume(&self) {
        let assigned = self.consumer.assignment();
        if let Err(error) = assigned.and_then(|assigned| self.consumer.resume(&assigned)) {
            tracing::warn!(%error, "cannot resume reading from Kafka");
        }
    }

    fn commit_if_due(&self, last: &mut LastCommits) {
        if last.new_at.elapsed() < OFFSETS_EVERY {
            return;
        }
        last.new_at = Instant::now();
        if last.all_at.elapsed() >= SAME_OFFSETS_EVERY {
            last.all_at = last.new_at;
            self.progress.commit_again();
        }
        self.commit(CommitMode::Async);
    }

    /// Commits this replica's offsets to Kafka.
    fn commit(&self, mode: CommitMode) {
        let offsets = self.progress.take_uncommitted();
        let (topic, installation) = (&*self.topic, &*self.installation);
        let committed = commit_offsets(&self.consumer, topic, installation, &offsets, mode);
        if let Err(error) = committed {
            tracing::debug!(%error, "cannot commit offsets to Kafka; the database has them");
        }
    }
}

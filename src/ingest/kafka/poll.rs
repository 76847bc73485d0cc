//! The thread that receives messages from librdkafka and passes them on in batches.

use std::{sync::Arc, thread::sleep, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaResult,
};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    batch_committer::BegunBatch,
    client::{LogConsumer, commit_offsets},
    messages::{LogMessage, MessageBatch},
    offset_order::{MessageOrder, OffsetJump},
    progress::SharedProgress,
};
use crate::telemetry::metrics::KafkaMetrics;

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
    pub(super) metrics: KafkaMetrics,
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
    pub(super) fn run(self, batches: mpsc::Sender<BegunBatch>) {
        let runtime = Handle::current();
        let mut batch = MessageBatch::default();
        let mut last = LastCommits::now();
        while !self.shutdown.is_cancelled() && !batches.is_closed() {
            self.read_again(&mut batch);
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

    /// Goes back to the positions of a database that lacks what was committed after them.
    fn read_again(&self, batch: &mut MessageBatch) {
        let rewinds = self.progress.take_rewinds();
        if rewinds.is_empty() {
            return;
        }
        batch.forget(|partition| rewinds.iter().any(|(rewound, _)| *rewound == partition));
        if let Err(error) = self.move_to(&rewinds) {
            tracing::error!(%error, "cannot read messages of Kafka again; restart this replica");
        }
    }

    fn move_to(&self, positions: &[(i32, i64)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in positions {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        self.consumer.incremental_unassign(&list)?;
        self.consumer.incremental_assign(&list)
    }

    fn poll(&self, patience: Duration, batch: &mut MessageBatch) {
        let polled = self.consumer.poll(patience);
        let polled = polled.map(|polled| polled.map(|message| LogMessage::of(&message)));
        // The group may have assigned partitions in between.
        let revoked = self.progress.take_revoked();
        if !revoked.is_empty() {
            batch.forget(|partition| revoked.contains(&partition));
        }
        match polled {
            Some(Ok(message)) => self.receive(message, batch),
            // librdkafka retries by itself; the check every second reports lasting problems.
            Some(Err(error)) => tracing::debug!(%error, "cannot read from Kafka"),
            None => {}
        }
    }

    /// Adds a message to the batch, if it is the next one of its partition.
    fn receive(&self, message: LogMessage, batch: &mut MessageBatch) {
        let partition = message.partition;
        match self.progress.arrive(&message) {
            MessageOrder::Next => batch.push(message),
            MessageOrder::ReadAgain(from, after) => {
                sleep(after);
                if let Err(error) = self.move_to(&[(partition, from)]) {
                    tracing::warn!(%error, "cannot read a partition of Kafka again yet");
                    self.progress.keep_expecting(partition);
                }
            }
            MessageOrder::Recovered(jump) => {
                self.metrics.count_jump(partition, "recovered");
                self.report_recovered(partition, jump);
                batch.push(message);
            }
            MessageOrder::Confirmed(jump) => {
                self.metrics.count_jump(partition, "confirmed");
                self.report_confirmed(partition, jump);
                batch.push(message);
            }
        }
    }

    fn report_recovered(&self, partition: i32, jump: OffsetJump) {
        let OffsetJump { expected, found } = jump;
        tracing::warn!(
            kafka.topic = %self.topic,
            kafka.partition = partition,
            kafka.offset = expected,
            "a broker sent offset {found} of Kafka instead of {expected}; that one came when it was read again"
        );
    }

    fn report_confirmed(&self, partition: i32, jump: OffsetJump) {
        let OffsetJump { expected, found } = jump;
        // A transaction ends with one offset that has no message.
        if found == expected + 1 {
            tracing::debug!(
                kafka.partition = partition,
                "no message of Kafka at {expected}"
            );
            return;
        }
        tracing::info!(
            kafka.topic = %self.topic,
            kafka.partition = partition,
            kafka.offset = expected,
            "Kafka has no message at offset {expected}; reading continues at {found}, which came again"
        );
    }

    /// Passes a batch on. While that has to wait, it polls without receiving messages: the group
    /// would regard a member that does not poll as dead.
    fn hand_on(
        &self,
        runtime: &Handle,
        batches: &mpsc::Sender<BegunBatch>,
        batch: &mut MessageBatch,
    ) {
        let room = || runtime.block_on(timeout(PATIENCE, batches.reserve()));
        let mut is_paused = false;
        while !self.shutdown.is_cancelled() && !batches.is_closed() {
            if let Ok(Ok(permit)) = room() {
                let batch = std::mem::take(batch);
                let ranges = self.progress.begin(&batch);
                let messages = batch.messages;
                permit.send(BegunBatch { messages, ranges });
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

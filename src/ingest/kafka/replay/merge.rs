//! Merges partitions by the times of their messages.

use std::{collections::VecDeque, fmt, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, base_consumer::PartitionQueue},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    RemovedMessages, ReplayBatch, ReplayError,
    range::{LogRange, PartitionRange, ReplayConsumer, is_out_of_range},
};
use crate::{
    domain::{
        model::time::{TimeRange, Timestamp},
        workflow::watermark::replay::MessageTime,
    },
    ingest::kafka::{
        client::LoginContext,
        messages::{LogMessage, MessageBatch},
    },
};

/// The time to wait for one partition before the others are served.
const GLANCE: Duration = Duration::from_millis(100);
/// librdkafka finds a broker that was restarted sooner.
const STALLED_AFTER: Duration = Duration::from_mins(1);

/// The progress of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MergePhase {
    Unseen,
    /// Up to now all messages are older than the range.
    Before,
    Within,
    Over,
}

/// One partition, read up to its first message after the range.
struct MergedPartition {
    range: PartitionRange,
    queue: PartitionQueue<LoginContext>,
    /// The next messages.
    heads: VecDeque<LogMessage>,
    phase: MergePhase,
    removed: Option<RemovedMessages>,
}

impl fmt::Debug for MergedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedPartition")
            .field("range", &self.range)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl MergedPartition {
    /// Returns the time of the next message; one without a time comes first.
    fn next_at(&self) -> Timestamp {
        let time = self.heads.front().and_then(|head| head.time);
        time.map_or(Timestamp::UNIX_EPOCH, MessageTime::at)
    }

    /// Takes the next message of the partition.
    fn take(&mut self, message: LogMessage, times: TimeRange) {
        let at = message.time.map(MessageTime::at);
        if self.phase == MergePhase::Unseen {
            self.removed = at.and_then(|at| self.range.removed(at, times.from));
            self.phase = MergePhase::Before;
        }
        if self.phase == MergePhase::Before && at.is_none_or(|at| at >= times.from) {
            self.phase = MergePhase::Within;
        }
        if message.offset >= self.range.end || at.is_some_and(|at| at >= times.to) {
            self.phase = MergePhase::Over;
        }
        if self.phase == MergePhase::Within {
            self.heads.push_back(message);
        }
    }

    fn poll(&mut self, times: TimeRange) -> KafkaResult<()> {
        let polled = self.queue.poll(GLANCE);
        match polled.map(|polled| polled.map(|message| LogMessage::of(&message))) {
            Some(Ok(message)) => self.take(message, times),
            Some(Err(KafkaError::PartitionEOF(_))) => self.phase = MergePhase::Over,
            Some(Err(error)) => return Err(error),
            None => {}
        }
        Ok(())
    }
}

/// All partitions of a range.
#[derive(Debug)]
pub(super) struct MergedLog {
    consumer: ReplayConsumer,
    times: TimeRange,
    partitions: Vec<MergedPartition>,
}

impl MergedLog {
    /// Takes the partitions, and waits for the first message of each.
    pub(super) fn begin(range: LogRange, times: TimeRange) -> Result<Self, ReplayError> {
        let begun = Self::assign(range, times).map_err(ReplayError::Unreachable);
        let mut begun = begun?;
        begun.fill()?;
        Ok(begun)
    }

    fn assign(range: LogRange, times: TimeRange) -> KafkaResult<Self> {
        let (consumer, topic) = (range.consumer, range.topic);
        let is_read = |range: &PartitionRange| range.next < range.end;
        let read: Vec<_> = range.partitions.into_iter().filter(is_read).collect();
        let mut assigned = TopicPartitionList::new();
        for range in &read {
            assigned.add_partition_offset(&topic, range.partition, Offset::Offset(range.next))?;
        }
        consumer.assign(&assigned)?;
        let merged = |range: PartitionRange| {
            let queue = consumer.split_partition_queue(&topic, range.partition)?;
            Some(MergedPartition {
                range,
                queue,
                heads: VecDeque::new(),
                phase: MergePhase::Unseen,
                removed: None,
            })
        };
        let partitions = read.into_iter().filter_map(merged).collect();
        let mut begun = Self {
            consumer,
            times,
            partitions,
        };
        // Those that came before their partition had a queue.
        while let Some(polled) = begun.consumer.clone().poll(Duration::ZERO) {
            begun.take_early(polled)?;
        }
        Ok(begun)
    }

    fn take_early(&mut self, polled: KafkaResult<BorrowedMessage<'_>>) -> KafkaResult<()> {
        let (partition, message) = match polled {
            Ok(message) => (message.partition(), Some(LogMessage::of(&message))),
            Err(KafkaError::PartitionEOF(partition)) => (partition, None),
            Err(error) => return Err(error),
        };
        let mut partitions = self.partitions.iter_mut();
        if let Some(found) = partitions.find(|one| one.range.partition == partition) {
            match message {
                Some(message) => found.take(message, self.times),
                None => found.phase = MergePhase::Over,
            }
        }
        Ok(())
    }

    pub(super) fn removed(&self) -> Vec<RemovedMessages> {
        let partitions = self.partitions.iter();
        partitions.filter_map(|one| one.removed).collect()
    }

    /// Sends all messages in batches of at most `length`, until the receiver is dropped.
    pub(super) fn read_all(
        mut self,
        batches: &mpsc::Sender<Result<ReplayBatch, ReplayError>>,
        length: Duration,
    ) {
        loop {
            let batch = self.next_batch(length).transpose();
            let is_last = !matches!(batch, Some(Ok(_)));
            let is_taken = batch.is_some_and(|batch| batches.blocking_send(batch).is_ok());
            if is_last || !is_taken {
                return;
            }
        }
    }

    fn next_batch(&mut self, length: Duration) -> Result<Option<ReplayBatch>, ReplayError> {
        let mut batch = MessageBatch::default();
        let mut due_at: Option<Timestamp> = None;
        while !batch.is_full() {
            self.fill()?;
            let Some(nearest) = self.nearest() else {
                break;
            };
            let at = nearest.next_at();
            if at > *due_at.get_or_insert(at + length) {
                break;
            }
            if let Some(message) = nearest.heads.pop_front() {
                batch.push(message);
            }
        }
        let is_over = batch.messages.is_empty();
        Ok((!is_over).then(|| ReplayBatch::of(batch)))
    }

    /// Returns the partition with the oldest message.
    fn nearest(&mut self) -> Option<&mut MergedPartition> {
        let with_heads = self.partitions.iter_mut();
        with_heads
            .filter(|one| !one.heads.is_empty())
            .min_by_key(|one| one.next_at())
    }

    /// Waits for the next message of each partition that has one.
    fn fill(&mut self) -> Result<(), ReplayError> {
        let mut came_at = Instant::now();
        let mut reason = "no message came".to_owned();
        loop {
            let waited_for = self.waited_for().count();
            if waited_for == 0 {
                return Ok(());
            }
            // Only errors and statistics of librdkafka arrive here.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                reason = error.to_string();
            }
            if let Some(explained) = self.poll_waited_for()? {
                reason = explained;
            }
            if self.waited_for().count() < waited_for {
                came_at = Instant::now();
            } else if came_at.elapsed() > STALLED_AFTER {
                let after = STALLED_AFTER;
                return Err(ReplayError::Stalled { after, reason });
            }
        }
    }

    /// Returns an error that librdkafka may recover from by itself.
    fn poll_waited_for(&mut self) -> Result<Option<String>, ReplayError> {
        let (times, mut reason) = (self.times, None);
        for one in self.waited_for() {
            match one.poll(times) {
                Ok(()) => {}
                Err(error) if is_out_of_range(&error) => {
                    let partition = one.range.partition;
                    return Err(ReplayError::Overtaken { partition });
                }
                Err(error) => reason = Some(error.to_string()),
            }
        }
        Ok(reason)
    }

    fn waited_for(&mut self) -> impl Iterator<Item = &mut MergedPartition> {
        let partitions = self.partitions.iter_mut();
        partitions.filter(|one| one.heads.is_empty() && one.phase != MergePhase::Over)
    }
}

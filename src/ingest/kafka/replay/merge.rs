//! Merges partitions by the times of their messages.

use std::{collections::VecDeque, fmt, sync::Arc, thread::sleep, time::Duration};

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
    selection::{PartitionSelection, ReplayTimes},
};
use crate::{
    domain::{model::time::Timestamp, workflow::watermark::replay::MessageTime},
    ingest::kafka::{
        client::{ANSWERS_WITHIN, LoginContext},
        messages::{LogMessage, MessageBatch},
        offset_order::{MessageOrder, OffsetOrder},
    },
    telemetry::metrics::KafkaMetrics,
};

/// The time to wait for one partition before the others are served.
const GLANCE: Duration = Duration::from_millis(100);
/// librdkafka finds a broker that was restarted sooner.
const STALLED_AFTER: Duration = Duration::from_mins(1);

/// One partition, read up to the end of the range.
struct MergedPartition {
    selection: PartitionSelection,
    queue: PartitionQueue<LoginContext>,
    order: OffsetOrder,
    /// The offset from which to read again, and after which time.
    again: Option<(i64, Duration)>,
    /// The next messages.
    heads: VecDeque<LogMessage>,
    metrics: KafkaMetrics,
}

impl fmt::Debug for MergedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedPartition")
            .field("selection", &self.selection)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

impl MergedPartition {
    const fn number(&self) -> i32 {
        self.selection.range.partition
    }

    /// Returns the time of the next message; one without a time comes first.
    fn next_at(&self) -> Timestamp {
        let time = self.heads.front().and_then(|head| head.time);
        time.map_or(Timestamp::UNIX_EPOCH, MessageTime::at)
    }

    fn is_waited_for(&self) -> bool {
        self.heads.is_empty() && !self.selection.is_over()
    }

    /// Takes the next message of the partition.
    fn take(&mut self, message: LogMessage) {
        // What comes after the range shows that it is complete.
        let offset = message.offset.min(self.selection.range.end);
        if self.is_next(offset) && self.selection.takes(message.offset, message.time) {
            self.heads.push_back(message);
        }
    }

    /// Records that the topic has no more messages of the partition.
    fn reach_end(&mut self) {
        if self.is_next(self.selection.range.end) {
            self.selection.end();
        }
    }

    /// Returns whether nothing is missing before `offset`; else the partition is read again.
    fn is_next(&mut self, offset: i64) -> bool {
        let partition = self.number();
        match self.order.arrive(offset) {
            MessageOrder::Next => {}
            MessageOrder::ReadAgain(from, after) => {
                self.again = Some((from, after));
                return false;
            }
            MessageOrder::Recovered(_) => self.metrics.count_jump(partition, "recovered"),
            MessageOrder::Confirmed(_) => self.metrics.count_jump(partition, "confirmed"),
        }
        true
    }

    /// Returns whether anything came.
    fn poll(&mut self, consumer: &ReplayConsumer, topic: &str) -> KafkaResult<bool> {
        if let Some((from, after)) = self.again {
            sleep(after);
            consumer.seek(topic, self.number(), Offset::Offset(from), ANSWERS_WITHIN)?;
            self.again = None;
        }
        let polled = self.queue.poll(GLANCE);
        match polled.map(|polled| polled.map(|message| LogMessage::of(&message))) {
            Some(Ok(message)) => self.take(message),
            Some(Err(KafkaError::PartitionEOF(_))) => self.reach_end(),
            Some(Err(error)) => return Err(error),
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// All partitions of a range.
#[derive(Debug)]
pub(super) struct MergedLog {
    consumer: ReplayConsumer,
    topic: Arc<str>,
    partitions: Vec<MergedPartition>,
}

impl MergedLog {
    /// Takes the partitions, and waits for the first message of each.
    pub(super) fn begin(
        range: LogRange,
        times: ReplayTimes,
        metrics: &KafkaMetrics,
    ) -> Result<Self, ReplayError> {
        let begun = Self::assign(range, times, metrics).map_err(ReplayError::Unreachable);
        let mut begun = begun?;
        begun.fill()?;
        Ok(begun)
    }

    fn assign(range: LogRange, times: ReplayTimes, metrics: &KafkaMetrics) -> KafkaResult<Self> {
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
                selection: PartitionSelection::new(range, times),
                queue,
                order: OffsetOrder::expecting(Some(range.next)),
                again: None,
                heads: VecDeque::new(),
                metrics: metrics.clone(),
            })
        };
        let partitions = read.into_iter().filter_map(merged).collect();
        let mut begun = Self {
            consumer,
            topic,
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
        let found = partitions.find(|one| one.number() == partition);
        // Messages after a jump come once more.
        if let Some(found) = found.filter(|found| found.again.is_none()) {
            match message {
                Some(message) => found.take(message),
                None => found.reach_end(),
            }
        }
        Ok(())
    }

    pub(super) fn removed(&self) -> Vec<RemovedMessages> {
        let partitions = self.partitions.iter();
        partitions
            .filter_map(|one| one.selection.removed())
            .collect()
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
        while self.partitions.iter().any(MergedPartition::is_waited_for) {
            // Only errors and statistics of librdkafka arrive here.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                reason = error.to_string();
            }
            match self.poll_waited_for()? {
                Polled::Something => came_at = Instant::now(),
                Polled::Nothing => {}
                Polled::Failed(error) => reason = error,
            }
            if came_at.elapsed() > STALLED_AFTER {
                let after = STALLED_AFTER;
                return Err(ReplayError::Stalled { after, reason });
            }
        }
        Ok(())
    }

    fn poll_waited_for(&mut self) -> Result<Polled, ReplayError> {
        let mut result = Polled::Nothing;
        let partitions = self.partitions.iter_mut();
        for one in partitions.filter(|one| one.is_waited_for()) {
            match one.poll(&self.consumer, &self.topic) {
                Ok(true) => result = Polled::Something,
                Ok(false) => {}
                Err(error) if is_out_of_range(&error) => {
                    let partition = one.number();
                    return Err(ReplayError::Overtaken { partition });
                }
                // librdkafka may recover from it by itself.
                Err(error) => result = Polled::Failed(error.to_string()),
            }
        }
        Ok(result)
    }
}

/// The result of polling the partitions that are waited for.
enum Polled {
    Something,
    Nothing,
    Failed(String),
}

//! Finds the offsets of a time in each partition.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};
use tokio::time::Instant;

use super::{RemovedMessages, ReplayError};
use crate::{
    domain::{model::time::Timestamp, workflow::watermark::replay::MessageTime},
    ingest::kafka::{
        client::{ANSWERS_WITHIN, LoginContext, partitions},
        messages::LogMessage,
    },
};

/// A consumer that belongs to no group.
#[derive(Clone)]
pub(in crate::ingest::kafka) struct ReplayConsumer(Arc<BaseConsumer<LoginContext>>);

impl Deref for ReplayConsumer {
    type Target = Arc<BaseConsumer<LoginContext>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for ReplayConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayConsumer").finish_non_exhaustive()
    }
}

impl ReplayConsumer {
    pub(in crate::ingest::kafka) fn open(
        mut settings: ClientConfig,
        login: LoginContext,
    ) -> Result<Self, ReplayError> {
        settings
            .set("enable.partition.eof", "true")
            // A gap is an error, not skipped.
            .set("auto.offset.reset", "error")
            // Of each partition: each has a queue of its own.
            .set("queued.max.messages.kbytes", "4096");
        let consumer = settings.create_with_context(login);
        let consumer = Self(Arc::new(consumer.map_err(ReplayError::Settings)?));
        // Reads the token for the first connection, if one is needed. Nothing is assigned yet.
        drop(consumer.poll(Duration::ZERO));
        Ok(consumer)
    }
}

/// The messages of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionRange {
    pub(super) partition: i32,
    /// The first offset that the partition still has.
    pub(super) start: i64,
    /// The first offset to read.
    pub(super) next: i64,
    /// The offset after the last one.
    pub(super) end: i64,
}

impl PartitionRange {
    /// Returns what was removed, if the first message that is left was written at `first_at`: it may have been of
    /// the time from `from` on.
    pub(super) fn removed(&self, first_at: Timestamp, from: Timestamp) -> Option<RemovedMessages> {
        let is_cut = self.start > 0 && self.next == self.start;
        (is_cut && first_at > from).then_some(RemovedMessages {
            partition: self.partition,
            messages: self.start,
            until: first_at,
        })
    }
}

/// The messages of all partitions from a time on.
#[derive(Debug)]
pub(super) struct LogRange {
    pub(super) consumer: ReplayConsumer,
    pub(super) topic: Arc<str>,
    pub(super) partitions: Vec<PartitionRange>,
}

impl LogRange {
    /// Asks the brokers for offsets by time, as far as the topic reaches now.
    pub(super) fn find(
        settings: ClientConfig,
        login: LoginContext,
        topic: Arc<str>,
        from: Timestamp,
    ) -> Result<Self, ReplayError> {
        let consumer = ReplayConsumer::open(settings, login)?;
        let asked = Self::ask(&consumer, &topic, from).map_err(ReplayError::Unreachable)?;
        if asked.is_empty() {
            return Err(ReplayError::NoTopic(topic.to_string()));
        }
        if asked.iter().all(|(range, _)| range.start >= range.end) {
            return Err(ReplayError::NoMessages(topic.to_string()));
        }
        let last = asked.iter().filter_map(|(_, last)| *last).max();
        let partitions: Vec<_> = asked.iter().map(|(range, _)| *range).collect();
        match last {
            Some(last) if partitions.iter().all(|range| range.next >= range.end) => {
                let topic = topic.to_string();
                Err(ReplayError::AfterTheEnd { topic, from, last })
            }
            _ => Ok(Self {
                consumer,
                topic,
                partitions,
            }),
        }
    }

    /// Returns each partition, and when its last message was written if that was before `from`.
    fn ask(
        consumer: &ReplayConsumer,
        topic: &str,
        from: Timestamp,
    ) -> KafkaResult<Vec<(PartitionRange, Option<Timestamp>)>> {
        let mut wanted = TopicPartitionList::new();
        for partition in partitions(consumer, topic)? {
            let from = Offset::Offset(from.as_micros().div_euclid(1_000));
            wanted.add_partition_offset(topic, partition, from)?;
        }
        if wanted.count() == 0 {
            return Ok(Vec::new());
        }
        let found = consumer.offsets_for_times(wanted, ANSWERS_WITHIN)?;
        let mut ranges = Vec::new();
        for element in found.elements() {
            element.error()?;
            let partition = element.partition();
            let (start, end) = consumer.fetch_watermarks(topic, partition, ANSWERS_WITHIN)?;
            let range = |next| PartitionRange {
                partition,
                start,
                next,
                end,
            };
            ranges.push(match element.offset() {
                Offset::Offset(next) => (range(next.max(start)), None),
                _ => match last_at(consumer, topic, partition, end)?.map(MessageTime::at) {
                    // This broker does not find messages by time: older ones are skipped.
                    Some(last) if last >= from => (range(start), None),
                    last => (range(end), last),
                },
            });
        }
        Ok(ranges)
    }
}

/// Returns when the last message before `end` was written; `None` if there is none.
pub(in crate::ingest::kafka) fn last_at(
    consumer: &ReplayConsumer,
    topic: &str,
    partition: i32,
    end: i64,
) -> KafkaResult<Option<MessageTime>> {
    if end == 0 {
        return Ok(None);
    }
    let mut last = TopicPartitionList::new();
    last.add_partition_offset(topic, partition, Offset::Offset(end - 1))?;
    consumer.assign(&last)?;
    let until = Instant::now() + ANSWERS_WITHIN;
    let mut found = Ok(None);
    while Instant::now() < until {
        match consumer.poll(ANSWERS_WITHIN) {
            Some(Ok(message)) => {
                found = Ok(LogMessage::of(&message).time);
                break;
            }
            // Nothing is left: it was removed.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if is_out_of_range(&error) => break,
            Some(Err(error)) => found = Err(error),
            None => {}
        }
    }
    consumer.unassign()?;
    found
}

/// Returns whether a partition does not have the offset that was asked for.
pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    matches!(
        error.rdkafka_error_code(),
        Some(AutoOffsetReset | OffsetOutOfRange)
    )
}

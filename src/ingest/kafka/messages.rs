//! Messages from Kafka, and batches of them.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedHeaders, BorrowedMessage, OwnedHeaders},
};
use tokio::time::Instant;

use crate::domain::{
    model::time::Timestamp,
    workflow::watermark::{log::ReadRange, replay::MessageTime},
};

/// The time that a batch waits for more messages.
const LINGER: Duration = Duration::from_millis(20);
const MOST_MESSAGES: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;

/// A message of one partition.
#[derive(Clone, Debug)]
pub(super) struct LogMessage {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<Bytes>,
    pub(super) bytes: Bytes,
    pub(super) headers: Option<OwnedHeaders>,
    /// `None` only from producers and brokers older than Kafka 0.10.
    pub(super) time: Option<MessageTime>,
}

impl LogMessage {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        let copy = Bytes::copy_from_slice;
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(copy),
            bytes: message.payload().map(copy).unwrap_or_default(),
            headers: message.headers().map(BorrowedHeaders::detach),
            time: match message.timestamp() {
                rdkafka::Timestamp::LogAppendTime(millis) => {
                    Some(MessageTime::Appended(of_millis(millis)))
                }
                rdkafka::Timestamp::CreateTime(millis) => {
                    Some(MessageTime::Created(of_millis(millis)))
                }
                rdkafka::Timestamp::NotAvailable => None,
            },
        }
    }

    /// Returns when the broker appended it, if its clock says so.
    const fn appended_at(&self) -> Option<Timestamp> {
        match self.time {
            Some(MessageTime::Appended(at)) => Some(at),
            Some(MessageTime::Created(_)) | None => None,
        }
    }
}

const fn of_millis(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis.saturating_mul(1_000))
}

/// Messages that are committed together.
#[derive(Debug, Default)]
pub(super) struct MessageBatch {
    pub(super) messages: Vec<LogMessage>,
    bytes: usize,
    due_at: Option<Instant>,
}

impl MessageBatch {
    pub(super) fn push(&mut self, message: LogMessage) {
        self.bytes += message.bytes.len();
        self.due_at.get_or_insert_with(|| Instant::now() + LINGER);
        self.messages.push(message);
    }

    /// Removes the messages of some partitions.
    pub(super) fn forget(&mut self, is_of: impl Fn(i32) -> bool) {
        self.messages.retain(|message| !is_of(message.partition));
        self.bytes = self.messages.iter().map(|one| one.bytes.len()).sum();
        self.due_at = self.due_at.filter(|_| !self.messages.is_empty());
    }

    /// Returns how long it waits for more messages; zero if it is full.
    pub(super) fn patience(&self) -> Option<Duration> {
        let due_at = self.due_at?;
        if self.is_full() {
            return Some(Duration::ZERO);
        }
        Some(due_at.saturating_duration_since(Instant::now()))
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES || self.messages.len() >= MOST_MESSAGES
    }

    /// Returns the ranges of offsets of each partition. Messages of a partition are in the order of
    /// their offsets.
    pub(super) fn ranges(&self) -> BTreeMap<i32, Vec<ReadRange>> {
        let mut ranges: BTreeMap<i32, Vec<ReadRange>> = BTreeMap::new();
        for message in &self.messages {
            let next = message.offset + 1;
            let of_partition = ranges.entry(message.partition).or_default();
            match of_partition.last_mut() {
                Some(range) if range.next == message.offset => {
                    range.next = next;
                    range.appended_at = message.appended_at();
                }
                _ => of_partition.push(ReadRange {
                    first: message.offset,
                    next,
                    appended_at: message.appended_at(),
                }),
            }
        }
        ranges
    }
}

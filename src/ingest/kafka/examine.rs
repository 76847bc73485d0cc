//! Asks the brokers about a topic and a consumer group, for `throughline doctor`. It joins no group and commits
//! nothing.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaResult,
    topic_partition_list::TopicPartitionListElem,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    KafkaSettings,
    client::{
        self, ANSWERS_WITHIN, LoginContext, another_installation, committed_offsets, partitions,
    },
    oauth_token::OauthTokenReader,
    replay::{
        ReplayError,
        range::{ReplayConsumer, last_at},
    },
};
use crate::{
    domain::{
        health::diagnosis::{GroupReader, KafkaFacts},
        model::time::Timestamp,
        workflow::watermark::replay::MessageTime,
    },
    ingest::server::limits::ReceiverLimits,
    store::LogPartition,
};

/// Partitions whose last messages are looked at. Brokers lead partitions in turn, so these are of so many brokers.
const MOST_CLOCKS: usize = 16;

/// What the database says of a topic.
#[derive(Clone, Debug)]
pub struct StoredLog {
    pub installation: Uuid,
    pub partitions: Vec<LogPartition>,
    /// The number of replicas that write heartbeats.
    pub replicas: i64,
}

/// The questions about one topic.
struct Examination {
    consumer: ReplayConsumer,
    config: KafkaSettings,
    stored: Option<StoredLog>,
    now: Timestamp,
}

/// Returns the answers of the brokers; `stored` is `None` if the database has none.
pub async fn examine(
    config: KafkaSettings,
    stored: Option<StoredLog>,
    now: Timestamp,
) -> Result<KafkaFacts, ReplayError> {
    let token = OauthTokenReader::new(&config);
    token.check()?;
    let asking = spawn_blocking(move || {
        let settings = client::reading(&config, &ReceiverLimits::default());
        let examination = Examination {
            consumer: ReplayConsumer::open(settings, LoginContext::new(token))?,
            config,
            stored,
            now,
        };
        let facts = examination.ask().map_err(ReplayError::Unreachable)?;
        facts.ok_or(ReplayError::NoTopic(examination.config.topic))
    });
    asking.await.unwrap_or(Err(ReplayError::Panicked))
}

impl Examination {
    /// Returns `None` if the topic does not exist.
    fn ask(&self) -> KafkaResult<Option<KafkaFacts>> {
        let topic = &self.config.topic;
        let partitions = partitions(&self.consumer, topic)?;
        if partitions.is_empty() {
            return Ok(None);
        }
        let committed = committed_offsets(&self.consumer, topic, &partitions)?;
        let read = self.read(&committed);
        let (mut lag, mut ahead, mut clocks) = (0, None, 0);
        for partition in &partitions {
            let (start, end) = self
                .consumer
                .fetch_watermarks(topic, *partition, ANSWERS_WITHIN)?;
            let next = read.get(partition).copied().unwrap_or(start);
            lag += (end - next.max(start)).max(0);
            if end > start && clocks < MOST_CLOCKS {
                clocks += 1;
                ahead = ahead.max(self.ahead(*partition, end)?);
            }
        }
        let stored = self.stored.as_ref();
        let read_up_to = stored.and_then(|stored| {
            let read = stored.partitions.iter();
            read.map(|partition| partition.up_to).min()
        });
        Ok(Some(KafkaFacts {
            topic: topic.clone(),
            group: self.config.group.clone(),
            partitions: i64::try_from(partitions.len()).unwrap_or(i64::MAX),
            replicas: stored.map_or(0, |stored| stored.replicas),
            reader: self.reader(&committed),
            ahead,
            lag,
            read_up_to,
            now: self.now,
        }))
    }

    /// Returns the next offset of each partition: that of the database, where reading begins, or of the group.
    fn read(&self, committed: &TopicPartitionList) -> BTreeMap<i32, i64> {
        let elements = committed.elements();
        let of_group = elements
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(next) => Some((element.partition(), next)),
                _ => None,
            });
        let stored = self.stored.iter().flat_map(|stored| &stored.partitions);
        let of_database =
            stored.filter_map(|partition| Some((partition.partition, partition.next_offset?)));
        of_group.chain(of_database).collect()
    }

    fn reader(&self, committed: &TopicPartitionList) -> GroupReader {
        let elements = committed.elements();
        let is_read =
            |element: &TopicPartitionListElem<'_>| matches!(element.offset(), Offset::Offset(_));
        let Some(stored) = &self.stored else {
            return if elements.iter().any(is_read) {
                GroupReader::Unknown
            } else {
                GroupReader::Nobody
            };
        };
        let own = client::metadata_of(stored.installation);
        if let Some(id) = another_installation(committed, &own) {
            return GroupReader::Another(id);
        }
        match elements.iter().find(|element| is_read(element)) {
            None => GroupReader::Nobody,
            Some(element) if *element.metadata() == own => GroupReader::ThisInstallation,
            Some(_) => GroupReader::AnotherProgram,
        }
    }

    /// Returns how far the last message before `end` is ahead, if its time is the broker's.
    fn ahead(&self, partition: i32, end: i64) -> KafkaResult<Option<Duration>> {
        let last = last_at(&self.consumer, &self.config.topic, partition, end)?;
        Ok(match last {
            Some(MessageTime::Appended(at)) => Some(at.saturating_since(self.now)),
            Some(MessageTime::Created(_)) | None => None,
        })
    }
}

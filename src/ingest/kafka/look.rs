//! Reads the bounds of partitions every second, stores how far they are read, and finds problems.

use rdkafka::{
    Offset,
    consumer::Consumer as _,
    error::{KafkaError, KafkaResult},
    topic_partition_list::TopicPartitionListElem,
};
use tokio::task::spawn_blocking;

use super::{
    KafkaSource,
    client::{ANSWERS_WITHIN, another_installation, committed_offsets, partitions},
    progress::{Asked, GroupOffset},
};
use crate::{
    domain::{
        model::{format, time::Timestamp},
        workflow::watermark::log::{BrokerClock, LogBounds, LogLoss},
    },
    store::{LogPartition, PartitionReport, StoreError},
};

/// The result of one turn.
#[derive(Debug, Default)]
pub struct LogReport {
    /// Partitions that this replica reads.
    pub partitions: usize,
    pub problems: Vec<String>,
}

/// The response of the brokers about one partition, and when they were asked.
#[derive(Debug)]
struct Seen {
    asked: Asked,
    at: Timestamp,
    bounds: LogBounds,
    group: Option<GroupOffset>,
}

/// The responses of the brokers.
#[derive(Debug, Default)]
struct BrokerAnswers {
    seen: Vec<Seen>,
    /// All partitions of the topic, including those that other replicas read.
    partitions: Vec<i32>,
    problems: Vec<String>,
}

impl KafkaSource {
    /// Examines all partitions of this replica.
    pub async fn look(&self) -> anyhow::Result<LogReport> {
        let this = self.clone();
        let mut answers = spawn_blocking(move || this.ask()).await?;
        self.problems.send_if_modified(|known| {
            let is_news = *known != answers.problems;
            known.clone_from(&answers.problems);
            is_news
        });
        for seen in &answers.seen {
            self.metrics.export_jumps(seen.asked.partition);
            let loss = self
                .progress
                .look(seen.asked, seen.group, seen.at, seen.bounds);
            if let Some(loss) = loss {
                self.note_loss(seen, &loss).await?;
            }
        }
        if !answers.partitions.is_empty() {
            let now = self.clock.now();
            let gone = self.progress.gone(&answers.partitions, now);
            self.note_gone(&gone, now).await?;
        }
        answers
            .partitions
            .retain(|partition| !self.progress.knows(*partition));
        self.note_unread(&answers.partitions).await?;
        self.want().await?;
        self.store_progress().await?;
        Ok(LogReport {
            partitions: answers.seen.len(),
            problems: answers.problems,
        })
    }

    /// Records that evidence is lost, before the watermark passes it.
    async fn note_loss(&self, seen: &Seen, loss: &LogLoss) -> Result<(), StoreError> {
        let mut tx = self.store.begin("record messages that were lost").await?;
        tx.note_log_loss(loss).await?;
        tx.commit().await?;
        self.metrics.lost(loss.messages);
        let messages = loss.messages.map_or_else(
            || "all messages of a topic that was replaced".to_owned(),
            |messages| format::counted(messages, "message"),
        );
        tracing::warn!(
            kafka.topic = %self.topic,
            kafka.partition = seen.asked.partition,
            "{messages} were removed before they were read, up to {}: workflows that waited for an end then do not time out",
            format::date_time(loss.until)
        );
        self.progress.go_on(seen.asked, loss, seen.bounds);
        Ok(())
    }

    /// Records that the evidence of partitions is lost which the topic no longer has, and waits for them
    /// no longer.
    async fn note_gone(&self, gone: &[i32], now: Timestamp) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin("record partitions that are gone").await?;
        let deleted = tx.delete_log_partitions(&self.topic, gone).await?;
        for partition in &deleted {
            let loss = LogLoss {
                messages: None,
                from: Some(partition.up_to),
                until: now,
            };
            tx.note_log_loss(&loss).await?;
        }
        tx.commit().await?;
        for LogPartition {
            partition, up_to, ..
        } in deleted
        {
            self.metrics.lost(None);
            tracing::warn!(
                kafka.topic = %self.topic,
                kafka.partition = partition,
                "the topic no longer has this partition, which was read up to {}: workflows that waited for an \
                 end since then do not time out",
                format::date_time(up_to)
            );
        }
        Ok(())
    }

    /// Makes the watermark wait for the topic while this replica is configured to read it, whether brokers
    /// answer or not, and also if another program reads its partitions.
    async fn want(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if !self.progress.is_want_due(now) {
            return Ok(());
        }
        let mut tx = self.store.begin("store that Kafka is read").await?;
        tx.want_log_partitions(&self.topic, now).await?;
        tx.commit().await?;
        self.progress.wanted(now);
        Ok(())
    }

    /// Makes the watermark wait for partitions that no replica has read yet.
    async fn note_unread(&self, partitions: &[i32]) -> Result<(), StoreError> {
        let report = |partition: &i32| PartitionReport {
            partition: *partition,
            next_offset: None,
            end_offset: 0,
            up_to: None,
            is_another: false,
            clock: BrokerClock::default(),
        };
        let reports: Vec<_> = partitions.iter().map(report).collect();
        self.store_reports(&reports).await
    }

    /// Stores how far this replica has read, and loads what others have stored. If the database lacks
    /// what it had, reading goes back instead.
    pub(super) async fn store_progress(&self) -> Result<(), StoreError> {
        let mut tx = self.store.begin("store the Kafka offsets").await?;
        let database = tx.database_identity().await?;
        let known = tx.log_partitions(&self.topic).await?;
        let rewinds = self.progress.compare(&database, &known);
        if !rewinds.is_empty() {
            tracing::warn!(
                kafka.topic = %self.topic,
                partitions = ?rewinds,
                "the database lacks what was read last: these partitions are read again from where it says, or else \
                 from where reading began"
            );
        }
        let reports = self.progress.reports();
        if !reports.is_empty() {
            let now = self.clock.now();
            tx.note_log_partitions(&self.topic, &reports, now).await?;
        }
        let known = tx.log_partitions(&self.topic).await?;
        tx.commit().await?;
        self.progress.reported(&reports);
        self.progress.know(known);
        Ok(())
    }

    async fn store_reports(&self, reports: &[PartitionReport]) -> Result<(), StoreError> {
        if reports.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin("store the Kafka offsets").await?;
        tx.note_log_partitions(&self.topic, reports, self.clock.now())
            .await?;
        tx.commit().await
    }

    /// Asks the brokers, in a thread that may block.
    fn ask(&self) -> BrokerAnswers {
        let mut answers = BrokerAnswers::default();
        answers.problems.extend(self.token.problem());
        match partitions(&self.consumer, &self.topic) {
            Ok(partitions) if partitions.is_empty() => {
                let problem = format!("Topic `{}` does not exist.", self.topic);
                answers.problems.push(problem);
                return answers;
            }
            Ok(partitions) => answers.partitions = partitions,
            Err(error) => {
                answers.problems.push(self.unreachable(&error));
                return answers;
            }
        }
        for asked in self.progress.asked() {
            match self.see(asked) {
                Ok(seen) => answers.seen.push(seen),
                Err(error) => {
                    let problem = self.unreachable(&error);
                    answers.problems.push(problem);
                    return answers;
                }
            }
        }
        match self.strangers(&answers.partitions) {
            Ok(problem) => answers.problems.extend(problem),
            Err(error) => answers.problems.push(self.unreachable(&error)),
        }
        answers.problems.extend(self.clock_ahead());
        answers
    }

    fn unreachable(&self, error: &KafkaError) -> String {
        let code = error.rdkafka_error_code();
        let reason = code.map_or_else(|| error.to_string(), |code| code.to_string());
        format!(
            "The brokers do not say how long `{}` is: {reason}.",
            self.topic
        )
    }

    fn see(&self, asked: Asked) -> KafkaResult<Seen> {
        let at = self.clock.now();
        let (start, end) =
            self.consumer
                .fetch_watermarks(&self.topic, asked.partition, ANSWERS_WITHIN)?;
        let group = if asked.needs_group {
            Some(self.group_offset(asked.partition, start)?)
        } else {
            None
        };
        Ok(Seen {
            asked,
            at,
            bounds: LogBounds { start, end },
            group,
        })
    }

    fn group_offset(&self, partition: i32, start: i64) -> KafkaResult<GroupOffset> {
        let committed = committed_offsets(&self.consumer, &self.topic, &[partition])?;
        let elements = committed.elements();
        let committed = elements.first();
        Ok(match committed.map(TopicPartitionListElem::offset) {
            Some(Offset::Offset(next)) => GroupOffset {
                next,
                is_own: committed.is_some_and(|one| *one.metadata() == *self.installation),
            },
            _ => GroupOffset {
                next: start,
                is_own: false,
            },
        })
    }

    /// Detects another installation in the same consumer group: it would receive messages that this
    /// one needs.
    fn strangers(&self, partitions: &[i32]) -> KafkaResult<Option<String>> {
        let committed = committed_offsets(&self.consumer, &self.topic, partitions)?;
        Ok(another_installation(&committed, &self.installation).map(|id| {
            format!(
                "Another installation ({id}) reads `{}` with the same consumer group, so each gets a part \
                 of the messages: give each a `--kafka-group` of its own.",
                self.topic
            )
        }))
    }

    fn clock_ahead(&self) -> Option<String> {
        let ahead = self.progress.ahead();
        (!ahead.is_empty()).then(|| {
            format!(
                "The clock of a broker is ahead: messages of `{}` were appended in the future, in the \
                 partitions {ahead:?}. Timeouts wait until these are read to their end.",
                self.topic
            )
        })
    }
}

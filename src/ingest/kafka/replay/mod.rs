//! Reads a part of a topic again, from one time to another, beside a service that reads it.
//!
//! It takes partitions without joining the consumer group and commits no offsets ([`range`]). Messages
//! of all partitions are in the order of their times ([`merge`]), so that judging can follow the log.

mod merge;
pub(super) mod range;
mod selection;

use std::{sync::Arc, time::Duration};

use rdkafka::error::KafkaError;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{merge::MergedLog, range::LogRange, selection::ReplayTimes};
use super::{
    KafkaSettings, OauthTokenError,
    client::{self, LoginContext},
    dead_letters::DeadLetterTopic,
    messages::{LogMessage, MessageBatch},
    oauth_token::OauthTokenReader,
    read::MessageReader,
};
use crate::{
    domain::{
        model::{format, time::Timestamp},
        workflow::watermark::replay::MessageTime,
    },
    ingest::{consumer::TraceConsumer, server::limits::ReceiverLimits},
    telemetry::metrics::KafkaMetrics,
};

/// The dependencies of a replay.
#[derive(Debug)]
pub struct ReplayParts<D> {
    pub config: KafkaSettings,
    pub trace_consumer: D,
    pub limits: ReceiverLimits,
    pub metrics: KafkaMetrics,
    pub from: Timestamp,
    /// `None` if the range ends where the topic does.
    pub to: Option<Timestamp>,
    /// The longest time from the first to the last message of a batch.
    pub batch_length: Duration,
}

/// The reason why a topic cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read from Kafka with these settings: {0}")]
    Settings(KafkaError),
    #[error(transparent)]
    Token(#[from] OauthTokenError),
    #[error("topic `{0}` does not exist")]
    NoTopic(String),
    #[error("topic `{0}` holds no messages")]
    NoMessages(String),
    #[error(
        "topic `{topic}` holds no messages from {} on: the last one is of {}",
        from.to_rfc3339(), last.to_rfc3339()
    )]
    AfterTheEnd {
        topic: String,
        from: Timestamp,
        last: Timestamp,
    },
    #[error("the brokers do not answer: {0}")]
    Unreachable(KafkaError),
    #[error("nothing was read for {}: {reason}", format::duration(*after))]
    Stalled { after: Duration, reason: String },
    #[error(
        "partition {partition}: messages were removed from the topic while it was read; begin again \
         with a later `--from`"
    )]
    Overtaken { partition: i32 },
    #[error("reading has failed")]
    Panicked,
}

/// A partition whose first messages were removed, which may have been of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedMessages {
    pub partition: i32,
    /// The number of messages removed since the partition was created.
    pub messages: i64,
    /// The time of the first remaining message.
    pub until: Timestamp,
}

/// Messages that follow each other in the order of their times.
#[derive(Debug)]
pub struct ReplayBatch {
    messages: Vec<LogMessage>,
    /// The times of the first and the last message, if known.
    pub times: Option<(MessageTime, MessageTime)>,
}

/// A part of a topic that is read again.
#[derive(Debug)]
pub struct LogReplay<D> {
    reader: MessageReader<D>,
    batches: mpsc::Receiver<Result<ReplayBatch, ReplayError>>,
    removed: Vec<RemovedMessages>,
}

impl<D: TraceConsumer> LogReplay<D> {
    /// Finds the messages of the range, and begins to read them in one of `tasks`, which ends with them
    /// or with the replay.
    pub async fn begin(parts: ReplayParts<D>, tasks: &TaskTracker) -> Result<Self, ReplayError> {
        let config = KafkaSettings {
            // They were written to the dead letters when they were read first.
            dead_letter_topic: None,
            ..parts.config
        };
        let token = OauthTokenReader::new(&config);
        token.check()?;
        let (limits, metrics) = (&parts.limits, parts.metrics.clone());
        let dead_letters = DeadLetterTopic::new(&config, limits, &token, metrics, tasks);
        let dead_letters = dead_letters.map_err(ReplayError::Settings)?;
        let settings = client::reading(&config, &parts.limits);
        let topic = Arc::from(config.topic);
        let times = ReplayTimes {
            from: parts.from,
            to: parts.to,
        };
        let metrics = parts.metrics.clone();
        let finding = spawn_blocking(move || {
            let login = LoginContext::new(token);
            let found = LogRange::find(settings, login, topic, times.from)?;
            MergedLog::begin(found, times, &metrics)
        });
        let merged = finding.await.unwrap_or(Err(ReplayError::Panicked))?;
        let removed = merged.removed();
        let (sender, batches) = mpsc::channel(1);
        let length = parts.batch_length;
        tasks.spawn_blocking(move || merged.read_all(&sender, length));
        let reader = MessageReader::new(
            parts.trace_consumer,
            &parts.limits,
            dead_letters,
            parts.metrics,
        );
        Ok(Self {
            reader,
            batches,
            removed,
        })
    }

    /// Returns the partitions that may lack messages of the range.
    pub fn removed(&self) -> &[RemovedMessages] {
        &self.removed
    }

    /// Returns the next messages; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<ReplayBatch>, ReplayError> {
        self.batches.recv().await.transpose()
    }

    /// Commits messages; retries while the database is unavailable.
    pub async fn commit(&self, batch: ReplayBatch) {
        let never = CancellationToken::new();
        self.reader.commit(batch.messages, &never).await;
    }
}

impl ReplayBatch {
    fn of(batch: MessageBatch) -> Self {
        let times = batch.messages.iter().filter_map(|message| message.time);
        let first = times.clone().next();
        Self {
            times: first.zip(times.last()),
            messages: batch.messages,
        }
    }
}

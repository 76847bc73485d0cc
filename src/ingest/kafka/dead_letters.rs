//! Messages that cannot be read: counted, logged and written to another topic, if there is one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    error::{KafkaError, KafkaResult},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{
    KafkaSettings,
    client::{LoginContext, connection, received_at_once},
    messages::LogMessage,
    oauth_token::OauthTokenReader,
};
use crate::{
    ingest::{failure::Failure, server::limits::ReceiverLimits},
    telemetry::metrics::KafkaMetrics,
};

/// The time limit of writing to the topic of dead letters, of all messages of a batch together.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// A message that cannot be read, and why.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    message: LogMessage,
    label: &'static str,
    reason: String,
}

impl DeadLetter {
    pub(super) fn new(message: &LogMessage, label: &'static str, reason: String) -> Self {
        Self {
            message: message.clone(),
            label,
            reason,
        }
    }

    pub(super) fn of(message: &LogMessage, failure: &Failure) -> Self {
        Self::new(message, failure.as_label(), failure.to_string())
    }
}

pub(super) struct DeadLetterTopic {
    from: String,
    producer: Option<(String, FutureProducer<LoginContext>)>,
    metrics: KafkaMetrics,
    /// Where writing goes on, so that a shutdown waits for it.
    tasks: TaskTracker,
    /// True if the last message could not be written: then the next ones are written without waiting.
    is_failing: Arc<AtomicBool>,
}

impl fmt::Debug for DeadLetterTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterTopic")
            .field("topic", &self.producer.as_ref().map(|(topic, _)| topic))
            .finish_non_exhaustive()
    }
}

impl DeadLetterTopic {
    pub(super) fn new(
        config: &KafkaSettings,
        limits: &ReceiverLimits,
        token: &OauthTokenReader,
        metrics: KafkaMetrics,
        tasks: &TaskTracker,
    ) -> KafkaResult<Self> {
        let producer = |topic: &String| -> KafkaResult<(String, FutureProducer<LoginContext>)> {
            let mut settings = connection(config);
            let queued_kib = received_at_once(limits).div_ceil(1_024);
            settings
                .set("message.timeout.ms", WRITTEN_WITHIN.as_millis().to_string())
                // Any message that was received fits.
                .set("queue.buffering.max.kbytes", queued_kib.to_string())
                // The broker decides whether a message is too large for the topic.
                .set("message.max.bytes", "1000000000");
            let context = LoginContext::new(token.clone());
            Ok((topic.clone(), settings.create_with_context(context)?))
        };
        Ok(Self {
            from: config.topic.clone(),
            producer: config
                .dead_letter_topic
                .as_ref()
                .map(producer)
                .transpose()?,
            metrics,
            tasks: tasks.clone(),
            is_failing: Arc::default(),
        })
    }

    /// Sets messages aside, all at the same time. It never fails: a message that cannot be written is
    /// logged and counted. It waits a limited time, and not at all while writing fails.
    pub(super) async fn set_aside(&self, letters: Vec<DeadLetter>) {
        if letters.is_empty() {
            return;
        }
        for letter in &letters {
            self.metrics.count(letter.label, 1);
            tracing::warn!(
                kafka.topic = self.from,
                kafka.partition = letter.message.partition,
                kafka.offset = letter.message.offset,
                "set a message of Kafka aside: {}",
                letter.reason
            );
        }
        let Some((topic, producer)) = &self.producer else {
            self.metrics
                .count_dead_letters("dropped", letters.len() as u64);
            return;
        };
        let begun = letters.iter().map(|letter| {
            let record = self.record(topic, letter);
            producer.send_result(record).map_err(|(error, _)| error)
        });
        let writing = WritingLetters {
            topic: topic.clone(),
            begun: begun.collect(),
            metrics: self.metrics.clone(),
            is_failing: Arc::clone(&self.is_failing),
        };
        let is_failing = self.is_failing.load(Ordering::Relaxed);
        let written = self.tasks.spawn(writing.finish());
        if !is_failing {
            let is_late = timeout(WRITTEN_WITHIN, written).await.is_err();
            // Its results are counted when they come.
            self.is_failing.fetch_or(is_late, Ordering::Relaxed);
        }
    }

    fn record<'a>(&self, topic: &'a str, letter: &'a DeadLetter) -> FutureRecord<'a, [u8], [u8]> {
        let message = &letter.message;
        let header = |headers: OwnedHeaders, (key, value): (&str, &str)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        };
        let (partition, offset) = (message.partition.to_string(), message.offset.to_string());
        let headers = [
            ("throughline.error", &*letter.reason),
            ("throughline.topic", &self.from),
            ("throughline.partition", &partition),
            ("throughline.offset", &offset),
        ];
        let own = message.headers.clone().unwrap_or_default();
        let headers = headers.into_iter().fold(own, header);
        let record = FutureRecord::<[u8], [u8]>::to(topic)
            .payload(&message.bytes)
            .headers(headers);
        match &message.key {
            Some(key) => record.key(key),
            None => record,
        }
    }
}

/// Messages that are being written to the topic of dead letters.
struct WritingLetters {
    topic: String,
    begun: Vec<Result<DeliveryFuture, KafkaError>>,
    metrics: KafkaMetrics,
    is_failing: Arc<AtomicBool>,
}

impl WritingLetters {
    /// Waits until all are written or have failed.
    async fn finish(self) {
        for letter in self.begun {
            let written = match letter {
                Ok(delivery) => match delivery.await {
                    Ok(delivered) => delivered.map(drop).map_err(|(error, _)| error),
                    Err(_) => Err(KafkaError::Canceled),
                },
                Err(error) => Err(error),
            };
            self.is_failing.store(written.is_err(), Ordering::Relaxed);
            let result = if written.is_ok() { "stored" } else { "failed" };
            self.metrics.count_dead_letters(result, 1);
            if let Err(error) = written {
                tracing::error!(
                    %error,
                    topic = self.topic,
                    "cannot write a message to the topic of dead letters"
                );
            }
        }
    }
}

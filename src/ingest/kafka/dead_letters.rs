//! Messages that cannot be read: counted, logged and written to another topic, if there is one.

use std::{fmt, time::Duration};

use rdkafka::{
    error::KafkaResult,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

use super::{
    KafkaSettings,
    client::{LoginContext, connection},
    messages::LogMessage,
    oauth_token::OauthTokenReader,
};
use crate::{ingest::failure::Failure, telemetry::metrics::KafkaMetrics};

/// The time limit of writing to the topic of dead letters.
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
        token: &OauthTokenReader,
        metrics: KafkaMetrics,
    ) -> KafkaResult<Self> {
        let producer = |topic: &String| -> KafkaResult<(String, FutureProducer<LoginContext>)> {
            let mut settings = connection(config);
            settings
                .set("message.timeout.ms", WRITTEN_WITHIN.as_millis().to_string())
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
        })
    }

    /// Sets messages aside. It never fails: a message that cannot be written is logged.
    pub(super) async fn set_aside(&self, letters: Vec<DeadLetter>) {
        for letter in letters {
            self.metrics.count(letter.label, 1);
            tracing::warn!(
                kafka.topic = self.from,
                kafka.partition = letter.message.partition,
                kafka.offset = letter.message.offset,
                "set a message of Kafka aside: {}",
                letter.reason
            );
            let result = self.write(&letter).await;
            self.metrics.count_dead_letter(result);
        }
    }

    async fn write(&self, letter: &DeadLetter) -> &'static str {
        let Some((topic, producer)) = &self.producer else {
            return "dropped";
        };
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
        let headers = headers.into_iter().fold(OwnedHeaders::new(), header);
        let record = FutureRecord::<[u8], [u8]>::to(topic)
            .payload(&message.bytes)
            .headers(headers);
        let record = match &message.key {
            Some(key) => record.key(key),
            None => record,
        };
        match producer.send(record, WRITTEN_WITHIN).await {
            Ok(_) => "stored",
            Err((error, _)) => {
                tracing::error!(%error, topic, "cannot write a message to the topic of dead letters");
                "failed"
            }
        }
    }
}

//! Reads the spans of messages and commits them, and retries during an outage of the database.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    dead_letters::{DeadLetter, DeadLetterTopic},
    messages::LogMessage,
};
use crate::{
    domain::access::AllowedServices,
    ingest::{
        Malformed,
        admission::AdmissionControl,
        consumer::{CommitError, TraceConsumer},
        failure::Failure,
        receiver::{RequestFormat, read_spans},
        server::limits::ReceiverLimits,
    },
    telemetry::metrics::KafkaMetrics,
};

/// The pause between two attempts while the database is unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Reads and commits messages. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct MessageReader<D> {
    consumer: D,
    limit: usize,
    gate: AdmissionControl,
    dead_letters: Arc<DeadLetterTopic>,
    metrics: KafkaMetrics,
}

/// The contents of messages, and the messages that cannot be read.
struct ReadMessages<B> {
    batch: B,
    unreadable: Vec<DeadLetter>,
}

impl<D: TraceConsumer> MessageReader<D> {
    pub(super) fn new(
        consumer: D,
        limits: &ReceiverLimits,
        dead_letters: DeadLetterTopic,
        metrics: KafkaMetrics,
    ) -> Self {
        Self {
            consumer,
            limit: limits.body_bytes,
            gate: AdmissionControl::new(limits),
            dead_letters: Arc::new(dead_letters),
            metrics,
        }
    }

    /// Commits the messages, and sets aside those that cannot be read. Retries until shutdown;
    /// returns whether it succeeded.
    pub(super) async fn commit(
        &self,
        messages: Vec<LogMessage>,
        shutdown: &CancellationToken,
    ) -> bool {
        let messages: Arc<[LogMessage]> = messages.into();
        while !self.attempt(Arc::clone(&messages)).await {
            tokio::select! {
                () = sleep(RETRY_AFTER) => {}
                () = shutdown.cancelled() => return false,
            }
        }
        true
    }

    /// Returns `false` if the attempt must be repeated.
    async fn attempt(&self, messages: Arc<[LogMessage]>) -> bool {
        loop {
            let (reader, same) = (self.clone(), Arc::clone(&messages));
            let read = match spawn_blocking(move || reader.read(&same)).await {
                Ok(Ok(read)) => read,
                Err(error) if error.is_panic() => {
                    let failure = Failure::Panicked;
                    let reason = failure.to_string();
                    let rest = self.one_by_one(&messages, failure.as_label(), reason);
                    return rest.await;
                }
                Ok(Err(_)) | Err(_) => return false,
            };
            match self.consumer.commit(read.batch).await {
                Ok(()) => {
                    let committed = messages.len() - read.unreadable.len();
                    self.metrics.count("committed", committed as u64);
                    self.dead_letters.set_aside(read.unreadable).await;
                    return true;
                }
                Err(CommitError::Outdated) => {}
                Err(CommitError::Unavailable(_)) => return false,
                Err(CommitError::Refused(refused)) => {
                    return self.one_by_one(&messages, "refused", refused.reason).await;
                }
            }
        }
    }

    /// Commits each message separately, so that one that always fails does not affect others.
    async fn one_by_one(
        &self,
        messages: &Arc<[LogMessage]>,
        label: &'static str,
        reason: String,
    ) -> bool {
        if let [message] = &**messages {
            let refused = DeadLetter::new(message, label, reason);
            self.dead_letters.set_aside(vec![refused]).await;
            return true;
        }
        for message in messages.iter() {
            let alone: Arc<[LogMessage]> = Arc::new([message.clone()]);
            if !Box::pin(self.attempt(alone)).await {
                return false;
            }
        }
        true
    }

    /// Reads all valid messages. An invalid one may have left spans in the batch, which is then
    /// read again without it.
    fn read(&self, messages: &[LogMessage]) -> Result<ReadMessages<D::Batch>, Failure> {
        let mut batch = self.consumer.begin();
        let result = messages
            .iter()
            .try_for_each(|message| self.read_one(message, &mut batch));
        if result.is_ok() {
            let unreadable = Vec::new();
            return Ok(ReadMessages { batch, unreadable });
        }
        let (mut unreadable, mut readable) = (Vec::new(), Vec::new());
        for message in messages {
            match self.read_one(message, &mut self.consumer.begin()) {
                Ok(()) => readable.push(message),
                Err(Failure::Unavailable(reason)) => return Err(reason.into()),
                Err(failure) => unreadable.push(DeadLetter::of(message, &failure)),
            }
        }
        let mut batch = self.consumer.begin();
        for message in readable {
            self.read_one(message, &mut batch)?;
        }
        Ok(ReadMessages { batch, unreadable })
    }

    fn read_one(&self, message: &LogMessage, batch: &mut D::Batch) -> Result<(), Failure> {
        let bytes = &*message.bytes;
        let limit = self.limit;
        if bytes.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
        // No OTLP request in protobuf begins with this byte.
        let format = if bytes.first() == Some(&b'{') {
            RequestFormat::Json
        } else {
            RequestFormat::Protobuf
        };
        let mut admission = self.gate.enter()?;
        let services = &AllowedServices::All;
        let (spans, refusals) = read_spans(
            &self.consumer,
            batch,
            bytes,
            format,
            services,
            &mut admission,
        )?;
        match refusals.other_content {
            Some(content) if spans == 0 => Err(Malformed::Json(content.to_string()).into()),
            _ => Ok(()),
        }
    }
}

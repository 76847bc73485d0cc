//! Reads spans from a Kafka topic, as the Collector's `kafka` exporter writes them: one
//! `ExportTraceServiceRequest` per message, in protobuf or JSON.
//!
//! One thread ([`poll`]) reads messages into batches, and passes over none ([`offset_order`]). Up to
//! four batches are committed at the same time ([`batch_committer`]). Offsets follow the commits in
//! order ([`progress`]). Reading a partition begins at the position in the database; offsets are also
//! committed to Kafka, for tools that show the lag. So after any failure some messages may be read
//! again, and the ledger counts each workflow once.
//!
//! Every second a replica reads the bounds of its partitions ([`look`]), and stores how far they
//! are read. The watermark is never later than that.

mod batch_committer;
mod client;
mod dead_letters;
pub mod examine;
mod look;
mod messages;
mod oauth_token;
mod offset_order;
mod poll;
mod progress;
mod read;
pub mod replay;

use std::{path::PathBuf, sync::Arc};

use rdkafka::error::KafkaError;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::oauth_token::OauthTokenError;
use self::{
    batch_committer::BatchCommitter, client::LogConsumer, dead_letters::DeadLetterTopic,
    oauth_token::OauthTokenReader, poll::PollLoop, progress::SharedProgress, read::MessageReader,
};
use super::{consumer::TraceConsumer, server::limits::ReceiverLimits};
use crate::{
    clock::Clock,
    domain::model::time::Timestamp,
    store::{Store, StoreError},
    telemetry::metrics::KafkaMetrics,
};

/// The brokers and topic to read, and how to connect.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub brokers: Vec<String>,
    pub topic: String,
    pub group: String,
    pub dead_letter_topic: Option<String>,
    pub tls: bool,
    pub ca: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    pub sasl: Option<SaslLogin>,
}

/// The login of the service at the brokers.
#[derive(Clone, Debug)]
pub enum SaslLogin {
    Password {
        mechanism: &'static str,
        username: String,
        password: SecretString,
    },
    /// The file of a token for OAUTHBEARER.
    TokenFile(PathBuf),
}

/// The dependencies of reading from Kafka.
#[derive(Debug)]
pub struct KafkaParts<D> {
    pub config: KafkaSettings,
    pub trace_consumer: D,
    pub limits: ReceiverLimits,
    pub store: Store,
    pub clock: Clock,
    pub metrics: KafkaMetrics,
    /// Problems with reading the topic, one sentence each.
    pub problems: watch::Sender<Vec<String>>,
}

/// The reason why reading from Kafka cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum KafkaStartError {
    #[error("cannot read from Kafka with these settings: {0}")]
    Settings(#[from] KafkaError),
    #[error(transparent)]
    Token(#[from] OauthTokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a topic. Clones share everything.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    topic: Arc<str>,
    token: OauthTokenReader,
    consumer: Arc<LogConsumer>,
    progress: Arc<SharedProgress>,
    store: Store,
    clock: Clock,
    metrics: KafkaMetrics,
    installation: Arc<str>,
    problems: watch::Sender<Vec<String>>,
}

impl KafkaSource {
    /// Begins to read, in tasks that end after `shutdown`.
    pub async fn start<D: TraceConsumer>(
        parts: KafkaParts<D>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, KafkaStartError> {
        let topic: Arc<str> = parts.config.topic.as_str().into();
        let token = OauthTokenReader::new(&parts.config);
        token.check()?;
        let (progress, installation) =
            Self::stored(&parts.store, &topic, parts.clock.now()).await?;
        let progress = Arc::new(progress);
        let (config, limits) = (&parts.config, &parts.limits);
        let consumer = client::consumer(config, limits, Arc::clone(&progress), token.clone())?;
        let source = Self {
            consumer: Arc::new(consumer),
            progress: Arc::clone(&progress),
            store: parts.store,
            clock: parts.clock.clone(),
            metrics: parts.metrics.clone(),
            installation: installation.into(),
            problems: parts.problems,
            token: token.clone(),
            topic,
        };
        let metrics = parts.metrics.clone();
        let dead_letters = DeadLetterTopic::new(config, limits, &token, metrics, tasks)?;
        let reader = MessageReader::new(
            parts.trace_consumer,
            &parts.limits,
            dead_letters,
            parts.metrics,
        );
        let (sender, batches) = mpsc::channel(1);
        let committer = BatchCommitter {
            reader,
            progress,
            clock: parts.clock,
            shutdown: shutdown.clone(),
        };
        tasks.spawn(committer.run(batches));
        let polling = PollLoop {
            topic: Arc::clone(&source.topic),
            consumer: Arc::clone(&source.consumer),
            progress: Arc::clone(&source.progress),
            installation: Arc::clone(&source.installation),
            metrics: source.metrics.clone(),
            shutdown: shutdown.clone(),
        };
        let last = source.clone();
        tasks.spawn(async move {
            if tokio::task::spawn_blocking(move || polling.run(sender))
                .await
                .is_err()
            {
                tracing::error!("reading from Kafka has failed; restart this replica");
            }
            // The final position, so that the next replica need not read these messages again.
            if let Err(error) = last.store_progress().await {
                tracing::warn!(error = %error.in_full(), "cannot store how far Kafka was read");
            }
        });
        Ok(source)
    }

    /// Returns how far the topic was read, and what commits to the group say of this installation.
    async fn stored(
        store: &Store,
        topic: &str,
        now: Timestamp,
    ) -> Result<(SharedProgress, String), StoreError> {
        let mut tx = store.begin("read the Kafka offsets").await?;
        // Before the first heartbeat after an outage of a day.
        tx.want_log_partitions(topic, now).await?;
        let known = tx.log_partitions(topic).await?;
        let installation = tx.installation_id().await?;
        let database = tx.database_identity().await?;
        tx.commit().await?;
        let progress = SharedProgress::new(known, database);
        Ok((progress, client::metadata_of(installation)))
    }
}

//! Starts the Kafka consumer, in builds with that feature.

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::App;
#[cfg(feature = "kafka")]
use super::loops::{SECOND, periodic::Periodic};
use crate::{config::KafkaConfig, ingest::Ingest};
#[cfg(feature = "kafka")]
use crate::{
    ingest::kafka::{KafkaParts, KafkaSettings, KafkaSource, SaslLogin},
    store::ConnectionUse,
};

/// Problems of the Kafka consumer, one sentence each.
pub(super) type KafkaProblems = watch::Receiver<Vec<String>>;

/// Rejects settings that this build does not support.
pub(super) fn check(config: &KafkaConfig) -> anyhow::Result<()> {
    anyhow::ensure!(
        cfg!(feature = "kafka") || config.brokers.is_empty(),
        "this build cannot read from Kafka: build it with `--features kafka`, or leave out `--kafka-brokers`"
    );
    Ok(())
}

#[cfg(feature = "kafka")]
pub(super) fn settings(config: &KafkaConfig) -> KafkaSettings {
    let password = (config.sasl_mechanism, &config.username, &config.password);
    let sasl = match (password, &config.oauth_token_file) {
        ((Some(mechanism), Some(username), Some(password)), _) => Some(SaslLogin::Password {
            mechanism: mechanism.as_str(),
            username: username.clone(),
            password: password.clone(),
        }),
        (_, Some(file)) => Some(SaslLogin::TokenFile(file.clone())),
        _ => None,
    };
    KafkaSettings {
        brokers: config.brokers.clone(),
        topic: config.topic.clone(),
        group: config.group.clone(),
        dead_letter_topic: config.dead_letter_topic.clone(),
        tls: config.tls,
        ca: config.ca.clone(),
        client_cert: config.client_cert.clone(),
        client_key: config.client_key.clone(),
        sasl,
    }
}

impl App {
    /// Starts to read, if a broker is configured.
    #[cfg(feature = "kafka")]
    pub(super) async fn read_kafka(
        &self,
        consumer: &Ingest,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<KafkaProblems> {
        let (problems, said) = watch::channel(Vec::new());
        let config = &self.config.kafka;
        if config.brokers.is_empty() {
            return Ok(said);
        }
        let parts = KafkaParts {
            config: settings(config),
            trace_consumer: consumer.clone(),
            limits: self.receiver_limits(),
            store: self.database.store.for_use(ConnectionUse::Recording),
            clock: self.clock.clone(),
            metrics: self.metrics.kafka.clone(),
            problems,
        };
        let source = KafkaSource::start(parts, tasks, shutdown).await?;
        let periodic = Periodic {
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            shutdown: shutdown.clone(),
        };
        tasks.spawn(periodic.run("kafka", SECOND, move |_| {
            let source = source.clone();
            async move { source.look().await }
        }));
        Ok(said)
    }

    /// Reads nothing: [`check`] has rejected every broker.
    #[cfg(not(feature = "kafka"))]
    #[expect(clippy::unused_async, reason = "as in builds with the feature")]
    pub(super) async fn read_kafka(
        &self,
        _consumer: &Ingest,
        _tasks: &TaskTracker,
        _shutdown: &CancellationToken,
    ) -> anyhow::Result<KafkaProblems> {
        Ok(watch::channel(Vec::new()).1)
    }
}

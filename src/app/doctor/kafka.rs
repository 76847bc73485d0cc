//! Examines the Kafka topic that the service reads.

#[cfg(feature = "kafka")]
use super::open;
use crate::{
    app::kafka,
    config::{DatabaseConfig, KafkaConfig},
    domain::health::diagnosis::Diagnosis,
};
#[cfg(feature = "kafka")]
use crate::{
    clock::Clock,
    domain::{health::diagnosis::of_kafka, model::time::Timestamp},
    ingest::kafka::{
        examine::{StoredLog, examine as ask},
        replay::ReplayError,
    },
    store::StoreError,
};

const BROKERS: &str = "kafka brokers";

/// Returns a line for each check of the brokers and the topic.
#[cfg(feature = "kafka")]
pub(super) async fn examine(config: &KafkaConfig, database: &DatabaseConfig) -> Vec<Diagnosis> {
    let (stored, now) = match stored(config, database).await {
        Ok((stored, now)) => (Some(stored), now),
        // What is wrong with the database is a line of its own.
        Err(_) => (None, Clock::System.now()),
    };
    let error = match ask(kafka::settings(config), stored, now).await {
        Ok(facts) => {
            let mut found = vec![Diagnosis::ok(BROKERS, "they answer")];
            found.extend(of_kafka(&facts));
            return found;
        }
        Err(error) => error,
    };
    let advice = match &error {
        ReplayError::NoTopic(topic) => {
            let text = format!("there is no topic `{topic}`");
            let advice =
                "create it, or name the one that the Collector writes to by `--kafka-topic`";
            return vec![
                Diagnosis::ok(BROKERS, "they answer"),
                Diagnosis::fail("kafka topic", text, advice),
            ];
        }
        ReplayError::Token(_) => "see what writes the file of `--kafka-oauth-token-file`",
        _ => {
            "check `--kafka-brokers`, TLS and login, the rights of the user, and whether a firewall is in between"
        }
    };
    vec![Diagnosis::fail(BROKERS, error.to_string(), advice)]
}

/// Fails: this build reads nothing from Kafka.
#[cfg(not(feature = "kafka"))]
#[expect(clippy::unused_async, reason = "as in builds with the feature")]
pub(super) async fn examine(config: &KafkaConfig, _database: &DatabaseConfig) -> Vec<Diagnosis> {
    let advice = "the service does not start with these settings";
    let refused = kafka::check(config).err();
    let diagnosis = |error: anyhow::Error| Diagnosis::fail(BROKERS, error.to_string(), advice);
    refused.map(diagnosis).into_iter().collect()
}

/// Returns what the database says of the topic, and its time.
#[cfg(feature = "kafka")]
async fn stored(
    config: &KafkaConfig,
    database: &DatabaseConfig,
) -> anyhow::Result<(StoredLog, Timestamp)> {
    let store = open(database)?;
    let read = async {
        let now = store.now().await?;
        let mut tx = store.begin("examine the Kafka offsets").await?;
        let stored = StoredLog {
            installation: tx.installation_id().await?,
            partitions: tx.log_partitions(&config.topic).await?,
            replicas: i64::try_from(tx.replica_signs().await?.len()).unwrap_or(i64::MAX),
        };
        tx.commit().await?;
        Ok::<_, StoreError>((stored, now))
    };
    let read = read.await;
    store.close().await;
    Ok(read?)
}

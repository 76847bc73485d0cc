//! The consumer of librdkafka, and its callbacks.

use std::{error::Error, fmt, ops::Deref, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    client::OAuthToken,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::{KafkaError, KafkaResult},
    metadata::{MetadataPartition, MetadataTopic},
    topic_partition_list::TopicPartitionListElem,
    types::RDKafkaRespErr,
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::{KafkaSettings, SaslLogin, oauth_token::OauthTokenReader, progress::SharedProgress};
use crate::ingest::server::limits::ReceiverLimits;

/// The maximum of messages that wait in memory, in KiB.
const QUEUED_KIB: &str = "65536";
/// A broker that is there answers sooner.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// More than the largest request of a Collector, before decompression.
const RECEIVED_AT_ONCE: usize = 100_000_000;

/// The consumer of one replica.
pub(super) struct LogConsumer(BaseConsumer<RebalanceContext>);

impl Deref for LogConsumer {
    type Target = BaseConsumer<RebalanceContext>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for LogConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConsumer").finish_non_exhaustive()
    }
}

/// Applies the partitions that the group assigns to this replica.
#[derive(Debug)]
pub(super) struct RebalanceContext {
    progress: Arc<SharedProgress>,
    login: LoginContext,
}

impl ClientContext for RebalanceContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.login.log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.login.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.login.generate_oauth_token(config)
    }
}

/// Logs in, and logs what librdkafka says.
#[derive(Clone, Debug)]
pub(super) struct LoginContext {
    token: OauthTokenReader,
}

impl LoginContext {
    pub(super) const fn new(token: OauthTokenReader) -> Self {
        Self { token }
    }
}

impl ClientContext for LoginContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Logs messages about connections at a low level, since librdkafka repeats them and the self-check
    /// reports problems.
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!("Kafka: {fac} {message}");
            }
            _ => tracing::debug!("Kafka: {fac} {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "Kafka: {reason}");
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.token.token()
    }
}

impl ConsumerContext for LoginContext {}

impl ConsumerContext for RebalanceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let result = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions)
        } else {
            self.revoke(consumer, partitions)
        };
        if let Err(error) = result {
            tracing::error!(%error, "cannot follow what the Kafka consumer group has assigned");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "cannot commit offsets to Kafka yet; the database has them");
        }
    }
}

impl RebalanceContext {
    /// Begins at the position that the database has.
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        for mut element in partitions.elements() {
            if let Some(next) = self.progress.assign(element.partition()) {
                element.set_offset(Offset::Offset(next))?;
            }
        }
        tracing::info!(partitions = ?numbers(partitions), "reads these partitions of Kafka");
        consumer.incremental_assign(partitions)
    }

    /// Waits briefly for commits in progress, so that the next replica need not read their messages
    /// again. Later commits no longer change the position of these partitions.
    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        let revoked = numbers(partitions);
        tracing::info!(partitions = ?revoked, "no longer reads these partitions of Kafka");
        self.progress.revoke(&revoked);
        consumer.incremental_unassign(partitions)
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    let elements = partitions.elements();
    elements
        .iter()
        .map(TopicPartitionListElem::partition)
        .collect()
}

/// The metadata of an installation begins with it.
const OF_INSTALLATION: &str = "throughline ";

/// Returns the metadata that an installation writes with its committed offsets.
pub(super) fn metadata_of(installation: Uuid) -> String {
    format!("{OF_INSTALLATION}{installation}")
}

/// Returns what the group has committed of these partitions.
pub(super) fn committed_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    consumer.committed_offsets(list, ANSWERS_WITHIN)
}

/// Returns the id of an installation that has committed offsets and is not the one with the metadata `own`.
pub(super) fn another_installation(committed: &TopicPartitionList, own: &str) -> Option<String> {
    let elements = committed.elements();
    let mut metadata = elements.iter().map(TopicPartitionListElem::metadata);
    let another = metadata.find(|of| of.starts_with(OF_INSTALLATION) && *of != own)?;
    Some(another.trim_start_matches(OF_INSTALLATION).to_owned())
}

/// Commits offsets to Kafka, for tools that show the lag.
pub(super) fn commit_offsets(
    consumer: &BaseConsumer<RebalanceContext>,
    topic: &str,
    installation: &str,
    offsets: &[(i32, i64)],
    mode: CommitMode,
) -> KafkaResult<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    for (partition, next) in offsets {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*next))?;
        element.set_metadata(installation);
    }
    consumer.commit(&list, mode)
}

pub(super) fn consumer(
    config: &KafkaSettings,
    limits: &ReceiverLimits,
    progress: Arc<SharedProgress>,
    token: OauthTokenReader,
) -> KafkaResult<LogConsumer> {
    let mut settings = reading(config, limits);
    settings
        // Used without a position in the database, and after messages were removed.
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        // New partitions are detected within seconds; until then timeouts wait for them.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "3000")
        .set("queued.max.messages.kbytes", QUEUED_KIB);
    let login = LoginContext::new(token);
    let context = RebalanceContext { progress, login };
    let consumer = BaseConsumer::from_config_and_context(&settings, context)?;
    consumer.subscribe(&[&config.topic])?;
    Ok(LogConsumer(consumer))
}

/// Returns the settings of those who read.
pub(super) fn reading(config: &KafkaSettings, limits: &ReceiverLimits) -> ClientConfig {
    let received = received_at_once(limits).to_string();
    let mut settings = connection(config);
    settings
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("receive.message.max.bytes", received);
    settings
}

/// Returns the largest response of a broker, and so the largest message.
pub(super) fn received_at_once(limits: &ReceiverLimits) -> usize {
    let received = RECEIVED_AT_ONCE.max(limits.body_bytes.saturating_mul(2));
    received.min(1_000_000_000)
}

/// Returns all partitions of a topic; none if it does not exist.
pub(super) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWERS_WITHIN)?;
    let topics = metadata.topics().iter();
    let of_topic = topics.filter(|found| found.name() == topic && found.error().is_none());
    let partitions = of_topic.flat_map(MetadataTopic::partitions);
    Ok(partitions.map(MetadataPartition::id).collect())
}

/// Returns the settings of every connection to the brokers.
pub(super) fn connection(config: &KafkaSettings) -> ClientConfig {
    let mut settings = ClientConfig::new();
    let protocol = match (config.tls, &config.sasl) {
        (false, None) => "plaintext",
        (true, None) => "ssl",
        (false, Some(_)) => "sasl_plaintext",
        (true, Some(_)) => "sasl_ssl",
    };
    settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", "throughline")
        .set("security.protocol", protocol)
        // A broker that returns is reconnected within seconds.
        .set("reconnect.backoff.max.ms", "2000");
    let files = [
        ("ssl.ca.location", &config.ca),
        ("ssl.certificate.location", &config.client_cert),
        ("ssl.key.location", &config.client_key),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            settings.set(name, file.display().to_string());
        }
    }
    match &config.sasl {
        Some(SaslLogin::Password {
            mechanism,
            username,
            password,
        }) => {
            settings
                .set("sasl.mechanism", *mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password.expose_secret());
        }
        Some(SaslLogin::TokenFile(_)) => {
            settings.set("sasl.mechanism", "OAUTHBEARER");
        }
        None => {}
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(scheme: &str, sasl: Option<SaslLogin>) -> KafkaSettings {
        KafkaSettings {
            brokers: vec!["one:9092".to_owned(), "two:9092".to_owned()],
            topic: "otlp_spans".to_owned(),
            group: "throughline".to_owned(),
            dead_letter_topic: None,
            tls: scheme == "tls",
            ca: None,
            client_cert: None,
            client_key: None,
            sasl,
        }
    }

    fn password(mechanism: &'static str) -> SaslLogin {
        SaslLogin::Password {
            mechanism,
            username: "service".to_owned(),
            password: "secret".into(),
        }
    }

    /// Asserts what librdkafka is given, and that it accepts it.
    fn assert_given(config: &KafkaSettings, expected: &[(&str, Option<&str>)]) {
        let given = connection(config);
        for (name, value) in expected {
            assert_eq!(given.get(name), *value, "{name}");
        }
        let created: KafkaResult<BaseConsumer> = given.create();
        assert!(created.is_ok(), "{:?}", created.err());
    }

    #[test]
    fn without_settings_connections_are_plain() {
        let expected = [
            ("bootstrap.servers", Some("one:9092,two:9092")),
            ("security.protocol", Some("plaintext")),
            ("sasl.mechanism", None),
            ("ssl.ca.location", None),
        ];
        assert_given(&settings("plain", None), &expected);
    }

    #[test]
    fn a_password_is_given_with_its_mechanism_with_and_without_tls() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            for (scheme, protocol) in [("plain", "sasl_plaintext"), ("tls", "sasl_ssl")] {
                let expected = [
                    ("security.protocol", Some(protocol)),
                    ("sasl.mechanism", Some(mechanism)),
                    ("sasl.username", Some("service")),
                    ("sasl.password", Some("secret")),
                ];
                assert_given(&settings(scheme, Some(password(mechanism))), &expected);
            }
        }
    }

    #[test]
    fn a_token_is_asked_for_and_not_given() {
        let token = SaslLogin::TokenFile("token".into());
        let expected = [
            ("security.protocol", Some("sasl_ssl")),
            ("sasl.mechanism", Some("OAUTHBEARER")),
            ("sasl.username", None),
            ("sasl.password", None),
        ];
        assert_given(&settings("tls", Some(token)), &expected);
    }

    #[test]
    fn files_of_tls_are_named() {
        let file = |name: &str| {
            let folder = env!("CARGO_MANIFEST_DIR");
            format!("{folder}/tests/fixtures/tls/{name}.pem")
        };
        let (ca, certificate) = (file("ports-authority.cert"), file("port-new.cert"));
        let key = file("port-new.key");
        let config = KafkaSettings {
            ca: Some(ca.clone().into()),
            client_cert: Some(certificate.clone().into()),
            client_key: Some(key.clone().into()),
            ..settings("tls", None)
        };
        let expected = [
            ("security.protocol", Some("ssl")),
            ("ssl.ca.location", Some(&*ca)),
            ("ssl.certificate.location", Some(&*certificate)),
            ("ssl.key.location", Some(&*key)),
            // Names of brokers are checked, as librdkafka does by default.
            ("ssl.endpoint.identification.algorithm", None),
            ("enable.ssl.certificate.verification", None),
        ];
        assert_given(&config, &expected);
    }
}

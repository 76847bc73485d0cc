//! Settings of reading spans from Kafka.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// The SASL mechanism for the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    #[value(name = "oauthbearer")]
    OauthBearer,
}

impl SaslMechanism {
    /// Returns its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reading spans from Kafka")]
pub struct KafkaConfig {
    /// Brokers to ask first, as `kafka-1:9092,kafka-2:9092`. Spans are then read from Kafka as well,
    /// in builds with the feature `kafka`
    #[arg(
        long = "kafka-brokers",
        env = "THROUGHLINE_KAFKA_BROKERS",
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub brokers: Vec<String>,
    /// Topic with spans as the Collector's `kafka` exporter writes them. The encoding, `otlp_proto` or
    /// `otlp_json`, is detected
    #[arg(
        long = "kafka-topic",
        env = "THROUGHLINE_KAFKA_TOPIC",
        value_name = "TOPIC",
        default_value = "otlp_spans"
    )]
    pub topic: String,
    /// Consumer group: the same for all replicas, and another one for each installation
    #[arg(
        long = "kafka-group",
        env = "THROUGHLINE_KAFKA_GROUP",
        value_name = "GROUP",
        default_value = "throughline"
    )]
    pub group: String,
    /// Topic for messages that cannot be read. If unset, they are only counted and logged
    #[arg(
        long = "kafka-dead-letter-topic",
        env = "THROUGHLINE_KAFKA_DEAD_LETTER_TOPIC",
        value_name = "TOPIC"
    )]
    pub dead_letter_topic: Option<String>,
    /// Encrypt connections to the brokers
    #[arg(long = "kafka-tls", env = "THROUGHLINE_KAFKA_TLS")]
    pub tls: bool,
    /// CA certificates, in PEM, by which the brokers' certificates are verified. By default those that
    /// the system trusts
    #[arg(
        long = "kafka-ca",
        env = "THROUGHLINE_KAFKA_CA",
        value_name = "FILE",
        requires = "tls"
    )]
    pub ca: Option<PathBuf>,
    /// Certificate that the service shows to the brokers, in PEM
    #[arg(
        long = "kafka-client-cert",
        env = "THROUGHLINE_KAFKA_CLIENT_CERT",
        value_name = "FILE",
        requires_all = ["tls", "client_key"]
    )]
    pub client_cert: Option<PathBuf>,
    /// Private key of `--kafka-client-cert`, in PEM
    #[arg(
        long = "kafka-client-key",
        env = "THROUGHLINE_KAFKA_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub client_key: Option<PathBuf>,
    /// How to log in at the brokers
    #[arg(
        long = "kafka-sasl-mechanism",
        env = "THROUGHLINE_KAFKA_SASL_MECHANISM",
        value_name = "MECHANISM",
        ignore_case = true,
        requires_ifs = [
            ("plain", "username"),
            ("plain", "password"),
            ("scram-sha256", "username"),
            ("scram-sha256", "password"),
            ("scram-sha512", "username"),
            ("scram-sha512", "password"),
            ("oauthbearer", "oauth_token_file"),
        ]
    )]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// User at the brokers
    #[arg(
        long = "kafka-username",
        env = "THROUGHLINE_KAFKA_USERNAME",
        value_name = "USER",
        requires = "sasl_mechanism"
    )]
    pub username: Option<String>,
    /// Password of `--kafka-username`. Use the variable: a flag is visible in the list of processes
    #[arg(
        long = "kafka-password",
        env = "THROUGHLINE_KAFKA_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        requires = "sasl_mechanism"
    )]
    pub password: Option<SecretString>,
    /// File with the token of `oauthbearer`, a JWT. It is read again before the token expires, so
    /// another program has to renew it
    #[arg(
        long = "kafka-oauth-token-file",
        env = "THROUGHLINE_KAFKA_OAUTH_TOKEN_FILE",
        value_name = "FILE",
        requires = "sasl_mechanism",
        conflicts_with_all = ["username", "password"]
    )]
    pub oauth_token_file: Option<PathBuf>,
}

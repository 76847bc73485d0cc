//! Every setting of the process: a flag, an environment variable, a key of a file, a default. The
//! reference at `/docs/settings` is made from them, as is `--help`.

mod access;
mod evaluation;
mod file;
mod installations;
mod kafka;
mod oidc;
mod reference;
mod remote_write;
mod tls;
mod traces;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use chrono_tz::Tz;
use clap::Args;
use ipnet::IpNet;

pub use self::{
    access::{AccessConfig, AnyProxyTrusted, AuthMethod, OtlpAuth, ReaderConfig, TrustedProxies},
    evaluation::{ALERT_RETENTION, EvaluationConfig},
    file::{CONFIG_FILE, FileConfig, FileSettings},
    installations::{
        InstallationAddress, InstallationToken, InstallationsConfig, InvalidInstallation,
    },
    kafka::{KafkaConfig, SaslMechanism},
    oidc::OidcConfig,
    reference::{SettingGroup, SettingReference, reference},
    remote_write::RemoteWriteConfig,
    tls::{PagesTlsConfig, TlsConfig},
    traces::{TRACE_VARIABLES, TraceProtocol, UnsupportedVariable},
};
use crate::domain::{model::ids::Name, notify::HeartbeatMethod, slo::SloSelector};

/// Settings of `throughline serve`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    #[command(flatten)]
    pub definitions: DefinitionsConfig,
    #[command(flatten)]
    pub database: DatabaseConfig,
    #[command(flatten)]
    pub receiver: ReceiverConfig,
    #[command(flatten)]
    pub kafka: KafkaConfig,
    #[command(flatten)]
    pub evaluation: EvaluationConfig,
    #[command(flatten)]
    pub delivery: DeliveryConfig,
    #[command(flatten)]
    pub watching: WatchConfig,
    #[command(flatten)]
    pub remote_write: RemoteWriteConfig,
    #[command(flatten)]
    pub pages: PagesConfig,
    #[command(flatten)]
    pub access: AccessConfig,
    #[command(flatten)]
    pub oidc: OidcConfig,
    #[command(flatten)]
    pub tls: TlsConfig,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Definitions")]
pub struct DefinitionsConfig {
    /// Folder of SLO definitions; read again when its files change and on SIGHUP
    #[arg(
        long = "definitions",
        env = "THROUGHLINE_DEFINITIONS",
        value_name = "FOLDER",
        default_value = "slo-definitions"
    )]
    pub folder: PathBuf,
    /// Judge only the SLOs whose labels match, such as `team=checkout`, `team in (checkout, payments)`
    /// or `team!=checkout,!canary`; `namespace` is a label too. Other SLOs are checked but not judged:
    /// they are for other installations
    #[arg(long, env = "THROUGHLINE_SLO_SELECTOR", value_name = "SELECTOR")]
    pub slo_selector: Option<SloSelector>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseConfig {
    /// Address of a PostgreSQL server, version 15 or newer. If it names several servers, such as
    /// `postgres://user@one,two/database`, the one that accepts writes is used. If unset, the service
    /// runs its own
    #[arg(
        long = "database-url",
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub url: Option<String>,
    /// Address of a replica of the database. Pages and API read from it while it is less than a minute
    /// behind; users who have just written read from the primary
    #[arg(
        long = "database-read-url",
        env = "THROUGHLINE_DATABASE_READ_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub read_url: Option<String>,
    /// Data folder of the service's own PostgreSQL. By default `throughline/postgres` in
    /// `$XDG_DATA_HOME` or `~/.local/share`, or in `/var/lib` as root
    #[arg(long, env = "THROUGHLINE_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Maximum number of connections to the database. A third records spans, a quarter serves the
    /// pages, and the rest evaluates and delivers
    #[arg(long, env = "THROUGHLINE_DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = 12, value_parser = clap::value_parser!(u32).range(4..=1000))]
    pub database_connections: u32,
    /// How long to wait at start until the database of `--database-url` answers
    #[arg(long, env = "THROUGHLINE_DATABASE_STARTUP_TIMEOUT", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub database_startup_timeout: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Receiving spans")]
pub struct ReceiverConfig {
    /// Address that OTLP/gRPC is received on
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_GRPC_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4317"
    )]
    pub otlp_grpc_listen: SocketAddr,
    /// Address that OTLP/HTTP is received on
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_HTTP_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4318"
    )]
    pub otlp_http_listen: SocketAddr,
    /// Maximum number of open connections on each OTLP port. When it is reached, a new connection
    /// closes the idle one that was used least recently
    #[arg(long, env = "THROUGHLINE_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Maximum number of open connections of one peer address on each OTLP port. A proxy is one peer
    #[arg(long, env = "THROUGHLINE_MAX_CONNECTIONS_PER_PEER", value_name = "NUMBER", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_peer: u32,
    /// Keep no samples of received spans in memory, which `explain` and `suggest` need. Values of
    /// attributes whose names look secret, and of customer attributes, are never kept
    #[arg(long, env = "THROUGHLINE_NO_SPAN_SAMPLES")]
    pub no_span_samples: bool,
    /// Origins of web pages that may send spans, as `https://shop.example,https://*.shop.example`
    #[arg(
        long,
        env = "THROUGHLINE_CORS_ALLOWED_ORIGINS",
        value_name = "ORIGINS",
        value_delimiter = ','
    )]
    pub cors_allowed_origins: Vec<String>,
    #[command(flatten)]
    pub limits: SpanLimitsConfig,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Receiving spans")]
pub struct SpanLimitsConfig {
    /// Largest OTLP request in MiB, before and after decompression
    #[arg(long, env = "THROUGHLINE_MAX_REQUEST_MIB", value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_request_mib: u32,
    /// Maximum age of a span. Older spans are rejected, and older verdicts are no longer corrected
    #[arg(long, env = "THROUGHLINE_HORIZON", value_name = "DURATION", default_value = "7d", value_parser = duration)]
    pub horizon: Duration,
    /// How far in the future a span may end, by the clock of the service. Spans that end later are
    /// rejected
    #[arg(long, env = "THROUGHLINE_FUTURE_TOLERANCE", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub future_tolerance: Duration,
    /// Time after an outage of this service in which senders can deliver buffered spans. Until it has
    /// passed, no workflow times out
    #[arg(long, env = "THROUGHLINE_CATCH_UP", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub catch_up: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Notification targets")]
pub struct DeliveryConfig {
    /// Private addresses and ranges that notifications may be sent to, on any port. Set it to `none`
    /// if targets are declared by people whom you do not trust with your network
    #[arg(
        long,
        env = "THROUGHLINE_ALLOW_PRIVATE_TARGETS",
        value_name = "CIDR",
        value_delimiter = ',',
        default_value = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.0/8,::1,fc00::/7",
        value_parser = private_range
    )]
    pub allow_private_targets: Vec<PrivateRange>,
    /// Ports that notifications may be sent to on public addresses
    #[arg(
        long,
        env = "THROUGHLINE_TARGET_PORTS",
        value_name = "PORTS",
        value_delimiter = ',',
        default_value = "80,443,8443"
    )]
    pub target_ports: Vec<u16>,
    /// Timeout of requests to chat services, PagerDuty and Alertmanager
    #[arg(long, env = "THROUGHLINE_CHAT_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub chat_timeout: Duration,
    /// Timeout of requests to webhooks
    #[arg(long, env = "THROUGHLINE_WEBHOOK_TIMEOUT", value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub webhook_timeout: Duration,
    /// How long a replica may take to send a notification before another one sends it. At least twice
    /// the longer timeout plus 5s
    #[arg(long, env = "THROUGHLINE_DELIVERY_LEASE", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub delivery_lease: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateRange {
    /// No private addresses.
    None,
    Range(IpNet),
}

impl DeliveryConfig {
    /// Allows receivers on this machine only.
    pub fn to_this_machine() -> Self {
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        Self {
            allow_private_targets: loopback.map(IpNet::from).map(PrivateRange::Range).to_vec(),
            target_ports: Vec::new(),
            chat_timeout: Duration::from_secs(10),
            webhook_timeout: Duration::from_secs(20),
            delivery_lease: Duration::from_mins(1),
        }
    }

    pub fn private_ranges(&self) -> Vec<IpNet> {
        let ranges = self.allow_private_targets.iter();
        ranges
            .filter_map(|range| match range {
                PrivateRange::None => None,
                PrivateRange::Range(range) => Some(*range),
            })
            .collect()
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Monitoring of the service itself")]
pub struct WatchConfig {
    /// Webhook or Alertmanager target that receives a heartbeat, and that should alert when the
    /// heartbeat stops. It is not sent while a self-check finds the service unhealthy
    #[arg(long, env = "THROUGHLINE_HEARTBEAT_TARGET", value_name = "TARGET")]
    pub heartbeat_target: Option<Name>,
    /// How often the heartbeat is sent. One of the replicas sends it
    #[arg(long, env = "THROUGHLINE_HEARTBEAT_INTERVAL", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub heartbeat_interval: Duration,
    /// HTTP method of the heartbeat to a webhook. `get` sends no body, for monitors that only count
    /// requests
    #[arg(
        long,
        env = "THROUGHLINE_HEARTBEAT_METHOD",
        value_name = "METHOD",
        default_value = "post"
    )]
    pub heartbeat_method: HeartbeatMethod,
    /// Target that is notified of problems of the service itself
    #[arg(long, env = "THROUGHLINE_PLATFORM_TARGET", value_name = "TARGET")]
    pub platform_target: Option<Name>,
    /// Target that is notified when the database does not answer or the platform target fails. Every
    /// replica notifies it, with the same deduplication key
    #[arg(long, env = "THROUGHLINE_EMERGENCY_TARGET", value_name = "TARGET")]
    pub emergency_target: Option<Name>,
    /// How long the database must be unreachable before the emergency target is notified
    #[arg(long, env = "THROUGHLINE_EMERGENCY_AFTER", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub emergency_after: Duration,
}

impl Default for WatchConfig {
    /// Returns settings that notify no one.
    fn default() -> Self {
        Self {
            heartbeat_target: None,
            heartbeat_interval: Duration::from_mins(1),
            heartbeat_method: HeartbeatMethod::Post,
            platform_target: None,
            emergency_target: None,
            emergency_after: Duration::from_mins(1),
        }
    }
}

/// The port of the pages, of every command that serves them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Pages")]
pub struct PagesPortConfig {
    /// Address that pages, API and metrics are served on
    #[arg(
        long,
        env = "THROUGHLINE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// Header in which a reverse proxy names the user. The proxy must set or remove it in every request.
    /// Ignored with `--auth token` and `--auth oidc`
    #[arg(
        long,
        env = "THROUGHLINE_USER_HEADER",
        value_name = "HEADER",
        default_value = "x-forwarded-user"
    )]
    pub user_header: String,
    /// Further host names under which requests are accepted, such as those that a proxy or Prometheus
    /// uses; `*` allows any. The host of `--public-url`, the name of this machine, localhost and IP
    /// addresses are always allowed
    #[arg(
        long,
        env = "THROUGHLINE_ALLOWED_HOSTS",
        value_name = "HOSTS",
        value_delimiter = ','
    )]
    pub allowed_hosts: Vec<String>,
    /// Time zone of times on pages, such as `Europe/Berlin`, unless a reader has chosen another. The
    /// API and messages use UTC
    #[arg(
        long,
        env = "THROUGHLINE_TIME_ZONE",
        value_name = "ZONE",
        default_value = "UTC",
        value_parser = time_zone
    )]
    pub time_zone: Tz,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Pages")]
pub struct PagesConfig {
    #[command(flatten)]
    pub port: PagesPortConfig,
    /// Maximum number of groups of each SLO with series of their own in `/metrics`, oldest first
    #[arg(long, env = "THROUGHLINE_METRICS_MAX_GROUPS", value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub metrics_max_groups: u32,
    /// Maximum number of SLOs with histograms of durations in `/metrics`, 34 series each
    #[arg(long, env = "THROUGHLINE_METRICS_MAX_DURATIONS", value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub metrics_max_durations: u32,
    /// Reject requests that write (silence, acknowledge ...) without the header of `--user-header`, with
    /// `--auth none`
    #[arg(long, env = "THROUGHLINE_REQUIRE_USER")]
    pub require_user: bool,
}

/// Folder in which tests request that the process stops at a named point.
#[derive(Clone, Debug, Args)]
pub struct FailpointConfig {
    #[arg(
        long,
        env = "THROUGHLINE_FAILPOINTS",
        value_name = "FOLDER",
        hide = true
    )]
    pub failpoints: Option<PathBuf>,
}

/// How the process logs; for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogConfig {
    /// Filter of log lines, as `info` or `warn,throughline::deliver=debug`
    /// [default: info, for the demo warn]
    #[arg(
        long = "log",
        env = "THROUGHLINE_LOG",
        value_name = "FILTER",
        global = true,
        verbatim_doc_comment
    )]
    pub filter: Option<String>,
    /// Format of log lines
    #[arg(
        long,
        env = "THROUGHLINE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(duration),
        Ok(_) => Err("must be 100ms at least".to_owned()),
        Err(error) => Err(format!("{error}; write `30s`, `5m` or `7d`")),
    }
}

fn time_zone(text: &str) -> Result<Tz, String> {
    text.parse()
        .map_err(|_| "write the name of a zone, such as `Europe/Berlin`".to_owned())
}

fn private_range(text: &str) -> Result<PrivateRange, String> {
    if text == "none" {
        return Ok(PrivateRange::None);
    }
    range(text)
        .map(PrivateRange::Range)
        .map_err(|error| format!("{error}, or `none`"))
}

fn range(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| "write an address or a range, such as `10.1.0.0/16`".to_owned())
}

/// The environment variables that the embedded Postgres needs.
#[derive(Clone, Debug)]
pub struct Environment {
    pub path: Vec<PathBuf>,
    pub default_data_dir: Option<PathBuf>,
}

impl Environment {
    pub fn read() -> Self {
        let path = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        let default_data_dir = crate::postgres::default_data_dir(
            nix::unistd::geteuid().as_raw(),
            std::env::var_os("XDG_DATA_HOME"),
            std::env::var_os("HOME"),
        );
        Self {
            path,
            default_data_dir,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_targets_are_addresses_and_ranges_or_none() {
        let range = |text: &str| PrivateRange::Range(text.parse().unwrap());
        assert_eq!(private_range("10.1.0.0/16"), Ok(range("10.1.0.0/16")));
        assert_eq!(private_range("::1"), Ok(range("::1/128")));
        assert_eq!(private_range("none"), Ok(PrivateRange::None));
        for bad in ["", "localhost", "10.1.0.0/33", "10.1"] {
            assert!(private_range(bad).is_err(), "{bad}");
        }
        let config = DeliveryConfig {
            allow_private_targets: vec![PrivateRange::None],
            target_ports: vec![443],
            ..DeliveryConfig::to_this_machine()
        };
        assert_eq!(config.private_ranges(), Vec::new());
    }
}

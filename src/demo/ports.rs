//! The ports of the demo: the usual ones if they are free, so that existing senders of spans need
//! no change, otherwise others.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use crate::config::Config;

/// Gives every address of `config` a free port, and returns which were not free.
pub(super) fn settle(config: &mut Config) -> io::Result<Vec<String>> {
    let mut taken = Vec::new();
    let addresses = [
        (&mut config.pages.port.listen, "pages"),
        (&mut config.receiver.otlp_grpc_listen, "OTLP/gRPC"),
        (&mut config.receiver.otlp_http_listen, "OTLP/HTTP"),
    ];
    // Kept bound until all are chosen, so that no port is chosen twice.
    let mut held = Vec::new();
    for (address, what) in addresses {
        let listener = match TcpListener::bind(*address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                taken.push(format!(
                    "port {} is taken: {what} at another one",
                    address.port()
                ));
                TcpListener::bind(SocketAddr::new(address.ip(), 0))?
            }
            result => result?,
        };
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(taken)
}

/// Returns how this machine reaches a server that listens at `address`.
pub(super) fn from_this_machine(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::config::{
        ALERT_RETENTION, AccessConfig, DatabaseConfig, DefinitionsConfig, DeliveryConfig,
        EvaluationConfig, KafkaConfig, OidcConfig, PagesConfig, PagesPortConfig, ReceiverConfig,
        RemoteWriteConfig, SpanLimitsConfig, TlsConfig, WatchConfig,
    };

    fn config(listen: SocketAddr) -> Config {
        let free = "127.0.0.1:0".parse().unwrap();
        let second = Duration::from_secs(1);
        Config {
            definitions: DefinitionsConfig {
                folder: PathBuf::new(),
                slo_selector: None,
            },
            database: DatabaseConfig {
                url: None,
                read_url: None,
                data_dir: None,
                database_connections: 4,
                database_startup_timeout: Duration::ZERO,
            },
            receiver: ReceiverConfig {
                otlp_grpc_listen: free,
                otlp_http_listen: free,
                max_connections: 16,
                max_connections_per_peer: 16,
                no_span_samples: false,
                cors_allowed_origins: Vec::new(),
                limits: SpanLimitsConfig {
                    max_request_mib: 1,
                    horizon: second,
                    future_tolerance: second,
                    catch_up: second,
                },
            },
            evaluation: EvaluationConfig {
                evaluation_interval: second,
                public_url: None,
                message_charts: false,
                trace_viewers: Vec::new(),
                alert_retention: ALERT_RETENTION,
            },
            delivery: DeliveryConfig::to_this_machine(),
            watching: WatchConfig::default(),
            pages: PagesConfig {
                port: PagesPortConfig {
                    listen,
                    user_header: "x-forwarded-user".to_owned(),
                    allowed_hosts: Vec::new(),
                    time_zone: chrono_tz::Tz::UTC,
                },
                require_user: false,
                metrics_max_groups: 20,
                metrics_max_durations: 200,
            },
            access: AccessConfig::open(),
            kafka: KafkaConfig::default(),
            remote_write: RemoteWriteConfig::default(),
            oidc: OidcConfig::default(),
            tls: TlsConfig::default(),
        }
    }

    #[test]
    fn what_listens_everywhere_is_reached_as_localhost() {
        let at = |address: &str| from_this_machine(address.parse().unwrap());
        assert_eq!(at("0.0.0.0:4317"), "localhost:4317");
        assert_eq!(at("[::]:4317"), "localhost:4317");
        assert_eq!(at("[::1]:4317"), "[::1]:4317");
    }

    #[test]
    fn a_port_that_is_free_is_kept() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut config = config(address);
        assert_eq!(settle(&mut config).unwrap(), Vec::<String>::new());
        assert_eq!(config.pages.port.listen, address);
    }

    #[test]
    fn a_port_that_is_taken_is_replaced_and_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut config = config(address);
        let said = settle(&mut config).unwrap();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains(&address.port().to_string()), "{said:?}");
        assert_ne!(config.pages.port.listen.port(), address.port());
        let ports = [
            config.pages.port.listen.port(),
            config.receiver.otlp_grpc_listen.port(),
            config.receiver.otlp_http_listen.port(),
        ];
        assert!(!ports.contains(&0), "{ports:?}");
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    }
}

//! The logs, metrics and traces of the process itself.
//!
//! Spans are made with `tracing` in all parts, and are sent to OpenTelemetry only if an endpoint is
//! configured: without one there is no layer for them, and they are disabled.

mod export;
mod ingest_metrics;
mod installation_metrics;
pub mod metric_builder;
pub mod metrics;
pub mod spans;

use std::io::IsTerminal as _;

use tracing::{Subscriber, subscriber::set_global_default};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _};

pub use self::{export::SpanExport, installation_metrics::InstallationMetrics};
use crate::config::{LogConfig, LogFormat, TraceProtocol};

/// Starts logging to standard error, with the filter `default` unless another is configured, and
/// exporting spans if a protocol is configured.
///
/// Must be called in a runtime, which the exporter uses.
///
/// # Errors
/// An invalid filter, or unsupported settings of OpenTelemetry.
pub fn start(
    config: &LogConfig,
    default: &str,
    protocol: Option<TraceProtocol>,
) -> anyhow::Result<Option<SpanExport>> {
    let export = protocol.map(SpanExport::new).transpose()?;
    // Not `init`, which also receives records of the `log` crate: sqlx asks before each query
    // whether one would be logged, and filters of single layers then lose the next span of the
    // thread.
    set_global_default(subscriber(config, default, export.as_ref())?)?;
    Ok(export)
}

fn subscriber(
    config: &LogConfig,
    default: &str,
    export: Option<&SpanExport>,
) -> anyhow::Result<impl Subscriber + Send + Sync + use<>> {
    let filter = config.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("cannot read the log filter `{filter}`: {error}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal();
            lines.with_target(false).with_ansi(colour).boxed()
        }
        LogFormat::Json => lines.json().boxed(),
    };
    Ok(Registry::default()
        .with(lines.with_filter(filter))
        .with(export.map(SpanExport::layer)))
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::*;

    fn log() -> LogConfig {
        LogConfig {
            filter: None,
            log_format: LogFormat::Text,
        }
    }

    fn is_disabled() -> bool {
        tracing::debug_span!("turn").is_disabled()
    }

    #[test]
    fn without_an_endpoint_spans_are_disabled_where_they_would_be_made() {
        let without = subscriber(&log(), "info", None).unwrap();
        assert!(with_default(without, is_disabled));
    }

    #[tokio::test]
    async fn with_one_they_are_made_whatever_is_logged() {
        let export = SpanExport::new(TraceProtocol::Grpc).unwrap();
        let with = subscriber(&log(), "off", Some(&export)).unwrap();
        assert!(!with_default(with, is_disabled));
    }
}

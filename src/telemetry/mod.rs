//! The process' own logs and metrics.

pub mod metrics;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{LogConfig, LogFormat};

/// Starts logging to standard error, by `default` unless a filter was chosen. Fails on a filter that
/// cannot be read.
pub fn start(config: &LogConfig, default: &str) -> anyhow::Result<()> {
    let filter = config.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("cannot read the log filter `{filter}`: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    match config.log_format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
            registry.with(lines.with_ansi(colour)).init();
        }
        LogFormat::Json => {
            registry
                .with(fmt::layer().json().with_writer(std::io::stderr))
                .init();
        }
    }
    Ok(())
}

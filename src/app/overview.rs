//! `throughline overview`: a server without database and definitions.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{allowed_hosts_of, shutdown};
use crate::{
    clock::Clock,
    config::{InstallationToken, InstallationsConfig},
    installations::Installations,
    web::installations::{self, OverviewState},
};

/// Serves until the process is asked to end.
pub async fn serve(config: InstallationsConfig) -> anyhow::Result<()> {
    let tokens = tokens(&config)?;
    let count = config.installations.len();
    let timeout = config.installation_timeout;
    let state = OverviewState {
        installations: Installations::new(config.installations, tokens, timeout)?,
        clock: Clock::System,
        hosts: Arc::new(allowed_hosts_of(None, &config.allowed_hosts)),
        time_zone: config.time_zone,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (`--listen`)", config.listen))?;
    let address = listener.local_addr()?;
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "everybody who reaches {address} sees what the tokens of the installations may see: put a \
             proxy with a login before it"
        );
    }
    tracing::info!("ready: pages of {count} installations on http://{address}");
    let stop = CancellationToken::new();
    tokio::select! {
        () = installations::serve(listener, state, stop.clone().cancelled_owned()) => Ok(()),
        result = shutdown::abort_on_second_signal(&stop) => result,
    }
}

fn tokens(config: &InstallationsConfig) -> anyhow::Result<Vec<InstallationToken>> {
    let Some(path) = &config.installation_tokens_file else {
        return Ok(config.installation_tokens.clone());
    };
    let shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read `{shown}` (`--installation-tokens-file`)"))?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let token = line.parse::<InstallationToken>();
            token.with_context(|| format!("`{shown}`, line {}, is no token", at + 1))
        })
        .collect()
}

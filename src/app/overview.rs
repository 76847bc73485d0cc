//! `throughline overview`: a server without database and definitions.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{
    allowed_hosts_of,
    ports::{self, PortTls, TlsReloaders},
    shutdown,
};
use crate::{
    clock::Clock,
    config::{AuthMethod, InstallationToken, InstallationsConfig},
    installations::Installations,
    telemetry::InstallationMetrics,
    web::installations::{self, OverviewState, UserProxy},
};

/// Serves until the process is asked to end.
pub async fn serve(config: InstallationsConfig) -> anyhow::Result<()> {
    let tokens = tokens(&config)?;
    let proxy = user_proxy(&config)?;
    let tls = PortTls::of_pages(&config.tls).await?;
    let count = config.installations.len();
    let timeout = config.installation_timeout;
    let state = OverviewState {
        installations: Installations::new(config.installations, tokens, timeout)?,
        clock: Clock::System,
        hosts: Arc::new(allowed_hosts_of(None, &config.port.allowed_hosts)),
        time_zone: config.port.time_zone,
        proxy,
        open_metrics: config.readers.open_metrics,
        tls: tls.pages,
        metrics: InstallationMetrics::new()?,
    };
    let listener = ports::bind(config.port.listen, "--listen").await?;
    let address = listener.local_addr()?;
    if state.proxy.is_none() && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "everybody who can reach {address} sees everything that the tokens of the installations give access to: put a proxy that logs people in before it, and set `--auth proxy`"
        );
    }
    let scheme = state.tls.as_ref().map_or("http", |_| "https");
    tracing::info!("ready: pages of {count} installations on {scheme}://{address}");
    let stop = CancellationToken::new();
    tokio::select! {
        () = installations::serve(listener, state, stop.clone().cancelled_owned()) => Ok(()),
        result = shutdown::abort_on_second_signal(&stop) => result,
        result = keep_reading(tls.reloaders) => result,
    }
}

/// Reads the certificate again when its files change.
async fn keep_reading(certificates: TlsReloaders) -> anyhow::Result<()> {
    let mut seconds = time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        certificates.clone().reload().await?;
    }
}

/// Returns the proxy that knows who reads; `None` if everybody may.
fn user_proxy(config: &InstallationsConfig) -> anyhow::Result<Option<UserProxy>> {
    let listen = config.port.listen;
    match config.readers.method(listen) {
        AuthMethod::None => Ok(None),
        AuthMethod::Proxy => Ok(Some(UserProxy {
            user_header: config.port.user_header.to_ascii_lowercase(),
            addresses: config.readers.proxies(listen)?,
        })),
        method @ (AuthMethod::Token | AuthMethod::Oidc) => anyhow::bail!(
            "the overview on `{listen}` cannot use `--auth {}`, because tokens and sessions need a database and it has none. Set `--auth proxy` if a proxy logs people in and names them in `--user-header`, or `--auth none` if access is restricted by other means",
            method.as_str()
        ),
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

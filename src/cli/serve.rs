//! `throughline serve`: the service.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, database::Database, shutdown},
    clock::{Clock, DatabaseClock},
    config::{
        AuthMethod, Config, Environment, FailpointConfig, LogConfig, TRACE_VARIABLES, TraceProtocol,
    },
    failpoint,
    telemetry::{self, SpanExport},
};

/// Run the service: receive spans, judge workflows, alert
#[derive(Debug, clap::Args)]
#[command(after_help = TRACE_VARIABLES)]
pub struct ServeArgs {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    failpoint: FailpointConfig,
}

pub fn run(args: ServeArgs, log: &LogConfig) -> anyhow::Result<ExitCode> {
    if let Some(folder) = args.failpoint.failpoints {
        failpoint::arm(folder);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let export = {
        let _context = runtime.enter();
        telemetry::start(log, "info", TraceProtocol::read()?)?
    };
    let result = runtime.block_on(serve(args.config, export.as_ref()));
    if let Some(export) = export {
        export.shutdown();
    }
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config, export: Option<&SpanExport>) -> anyhow::Result<()> {
    config.access.readers.proxies(config.pages.port.listen)?;
    let shutdown = CancellationToken::new();
    let starting = async {
        let environment = Environment::read();
        let database = tokio::select! {
            opened = Database::open(&config.database, &environment) => opened?,
            // No request was accepted yet that would have to be completed.
            () = shutdown.cancelled() => return Ok(()),
        };
        let clock = Clock::Database(DatabaseClock::default());
        let app = App::start(config.clone(), database, clock).await?;
        if let Some(export) = export {
            export.register(app.metrics())?;
        }
        let addresses = app.addresses()?;
        let is_encrypted = config.tls.pages.tls_cert.is_some();
        let scheme = if is_encrypted { "https" } else { "http" };
        let method = config.access.readers.method(config.pages.port.listen);
        if method == AuthMethod::None && !addresses.pages.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "--auth none: everyone who reaches {} may do everything in pages and API",
                addresses.pages
            );
        }
        tracing::info!(
            "ready: pages on {scheme}://{} (--auth {}), OTLP/gRPC on {}, OTLP/HTTP on {}",
            addresses.pages,
            method.as_str(),
            addresses.otlp_grpc,
            addresses.otlp_http
        );
        app.run(shutdown.clone()).await
    };
    tokio::select! {
        result = starting => result,
        result = shutdown::abort_on_second_signal(&shutdown) => result,
    }
}

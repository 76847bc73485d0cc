//! `throughline serve`: the service.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, database::Database, shutdown},
    clock::{Clock, DatabaseClock},
    config::{Config, Environment, FailpointConfig},
    failpoint,
};

/// Run the service: receive spans, judge workflows, alert
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    wishes: FailpointConfig,
}

pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = args.wishes.failpoints {
        failpoint::arm(folder);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args.config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let starting = async {
        let environment = Environment::read();
        let database = tokio::select! {
            opened = Database::open(&config.database, &environment) => opened?,
            // Nothing was taken yet that would have to be finished.
            () = shutdown.cancelled() => return Ok(()),
        };
        let clock = Clock::Database(DatabaseClock::default());
        let app = App::start(config.clone(), database, clock).await?;
        let addresses = app.addresses()?;
        tracing::info!(
            "ready: pages on http://{}, OTLP/gRPC on {}, OTLP/HTTP on {}",
            addresses.pages,
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

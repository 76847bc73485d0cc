//! `throughline healthcheck`: the health check of a container.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{
    app::healthcheck::ask,
    cli::output,
    config::{PagesPortConfig, PagesTlsConfig},
};

/// Ask the service on this machine whether it works, for the health check of a container
///
/// It takes the address and TLS from the settings of the service, with which it runs in one container, and
/// does not verify the certificate. Exit codes: 0 it works, 1 it does not.
#[derive(clap::Args, Debug)]
pub struct HealthcheckArgs {
    /// Ask whether it can do its work (`/readyz`: database, definitions), not only whether it runs
    /// (`/healthz`)
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    port: PagesPortConfig,
    #[command(flatten)]
    tls: PagesTlsConfig,
}

pub fn run(args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(ask(&args.port, &args.tls, path)) {
        Ok(text) => {
            output::print(&format!("{text}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "error: {error:#}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

//! `throughline overview`: the pages of several installations as one.

use std::process::ExitCode;

use crate::{
    app::overview,
    config::{InstallationsConfig, LogConfig},
    telemetry,
};

/// Show and search several installations as one, read-only
///
/// Serves an overview of the SLOs, the alerts and a search for workflows of all installations, by their
/// APIs. It has no database and no login: put a proxy with a login before it. An installation that does
/// not answer is said on every page.
#[derive(clap::Args, Debug)]
pub struct OverviewArgs {
    #[command(flatten)]
    config: InstallationsConfig,
}

pub fn run(args: OverviewArgs, log: &LogConfig) -> anyhow::Result<ExitCode> {
    telemetry::start(log, "info", None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(overview::serve(args.config));
    served.map(|()| ExitCode::SUCCESS)
}

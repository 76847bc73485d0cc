//! `throughline overview`: the pages of several installations as one.

use std::process::ExitCode;

use crate::{
    app::overview,
    config::{InstallationsConfig, LogConfig},
    telemetry,
};

/// Show and search several installations as one, read-only
///
/// Serves pages with the SLOs and alerts of all installations and a search for their workflows, by
/// asking the API of each. It needs no database. To require a login, use `--auth proxy` behind a proxy
/// that logs people in. Pages name the installations that do not answer.
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

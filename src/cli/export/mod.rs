//! `throughline export`: definitions in the formats of other tools, and stored data of a service.

#[cfg(feature = "parquet")]
mod parquet_file;
#[cfg(feature = "parquet")]
mod parquet_tables;
mod prometheus_rules;
mod records;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

use self::records::{EventsTableArgs, WorkflowsArgs};
use super::{
    output::print,
    problems::{Colour, render},
    validate,
};

/// What a table contains.
#[derive(Clone, Copy, Debug)]
enum TableKind {
    Workflows,
    Events,
}

/// Write definitions and stored events in the formats of other tools
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    #[command(subcommand)]
    format: ExportFormat,
}

#[derive(Debug, Subcommand)]
enum ExportFormat {
    PrometheusRules(PrometheusRulesArgs),
    Workflows(Box<WorkflowsArgs>),
    Events(EventsTableArgs),
}

/// Print recording rules for Prometheus, with the names and labels of Sloth
///
/// They compute error ratios, burn rates and error budgets of each SLO from
/// `throughline_slo_events_total`, so that dashboards made for Sloth show them. Exit codes: 0 printed,
/// 1 the definitions have errors, 3 they could not be read.
#[derive(clap::Args, Debug)]
pub struct PrometheusRulesArgs {
    /// Files, or folders with all *.yaml, *.yml and *.json below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    match &args.format {
        ExportFormat::PrometheusRules(args) => prometheus_rules(args),
        ExportFormat::Workflows(args) => records::workflows(args),
        ExportFormat::Events(args) => records::events(args),
    }
}

fn prometheus_rules(args: &PrometheusRulesArgs) -> anyhow::Result<ExitCode> {
    let report = match validate::check(&args.paths) {
        Ok(report) => report,
        Err(error) => {
            let error = anyhow::Error::new(error);
            let _written = writeln!(io::stderr(), "error: {error:#}");
            return Ok(ExitCode::from(3));
        }
    };
    let Some(catalog) = &report.catalog else {
        let problems = render(&report.problems, Colour::Plain);
        let _written = write!(io::stderr(), "{problems}");
        return Ok(ExitCode::FAILURE);
    };
    print(&prometheus_rules::of_catalog(catalog)?)?;
    Ok(ExitCode::SUCCESS)
}

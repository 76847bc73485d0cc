//! `throughline export workflows` and `events`: prints stored data of a running service as a table.

use std::process::ExitCode;

use clap::ValueEnum;

use super::TableKind;
#[cfg(feature = "parquet")]
use super::parquet_tables::RowTable;
use crate::cli::{
    client::api::{Api, ApiError, ServerArgs, encoded, with_query},
    output::{OutputReader, print_more},
};

/// The number of workflows in one response of the service.
const PART: &str = "500";

/// Print workflows as a table, the newest first
///
/// Prints all stored workflows that match, without a limit. Exit codes: 0 printed, 1 the service
/// rejects the request, 3 it could not be asked.
#[derive(clap::Args, Debug)]
pub(super) struct WorkflowsArgs {
    /// Of this SLO only
    #[arg(long, value_name = "NAME")]
    slo: Option<String>,
    /// With this outcome only: `bad` is late, failed and timeout
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Started at this time or later, as 2026-11-22T09:16:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Started before
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    table: TableArgs,
}

/// Print counts of good and bad events as a table, the newest first
///
/// One line for each period (UTC), with the objective, the share of its budget that was spent and the
/// incidents. Exit codes as above.
#[derive(clap::Args, Debug)]
pub(super) struct EventsTableArgs {
    /// The SLO
    slo: String,
    /// `day`, `week` or `month`
    #[arg(long, value_name = "PERIOD", default_value = "day")]
    by: String,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(clap::Args, Debug)]
struct TableArgs {
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TableFormat {
    /// Comma-separated values
    Csv,
    /// A Parquet file with the same columns, to redirect into a file
    Parquet,
}

pub(super) fn workflows(args: &WorkflowsArgs) -> anyhow::Result<ExitCode> {
    let query = [
        ("slo", args.slo.as_deref()),
        ("outcome", args.outcome.as_deref()),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
        ("limit", Some(PART)),
    ];
    let path = with_query("/api/v1/workflows", &query);
    all(&args.table, TableKind::Workflows, path)
}

pub(super) fn events(args: &EventsTableArgs) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/slos/{}/history", encoded(&args.slo));
    let path = with_query(&path, &[("by", Some(&args.by))]);
    all(&args.table, TableKind::Events, path)
}

fn all(table: &TableArgs, kind: TableKind, first: String) -> anyhow::Result<ExitCode> {
    match table.format {
        TableFormat::Csv => csv(&table.server, first),
        TableFormat::Parquet => parquet(&table.server, kind, first),
    }
}

#[cfg(feature = "parquet")]
fn parquet(server: &ServerArgs, kind: TableKind, first: String) -> anyhow::Result<ExitCode> {
    RowTable::of(kind).print(server, first)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_server: &ServerArgs, _kind: TableKind, _first: String) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build writes no Parquet: build it with `--features parquet`")
}

/// Prints all parts, and the column names once.
fn csv(server: &ServerArgs, first: String) -> anyhow::Result<ExitCode> {
    let api = Api::new(server)?;
    let mut next = Some(first);
    let mut is_first = true;
    while let Some(path) = next {
        let (text, following) = match api.csv(&path) {
            Ok(part) => part,
            Err(error) => return Ok(ApiError::report(&error)),
        };
        let lines = if is_first {
            &*text
        } else {
            without_head(&text)
        };
        if print_more(lines)? == OutputReader::Gone {
            break;
        }
        (next, is_first) = (following, false);
    }
    Ok(ExitCode::SUCCESS)
}

fn without_head(text: &str) -> &str {
    text.split_once("\r\n").map_or("", |(_, lines)| lines)
}

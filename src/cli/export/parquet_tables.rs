//! `--format parquet` of `throughline export`: rows of a running service as a Parquet file.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::{bail, ensure};
use serde_json::Value;

use super::{TableKind, parquet_file::ParquetFile};
use crate::cli::client::api::{Api, ApiError, ServerArgs};

/// The columns of workflows, which are those of the CSV.
const WORKFLOWS: &str = "message workflows {
    required binary slo (STRING);
    required binary key (STRING);
    required binary label (STRING);
    optional binary customer (STRING);
    required binary outcome (STRING);
    optional int64 started_at (TIMESTAMP(MICROS, true));
    optional int64 ended_at (TIMESTAMP(MICROS, true));
    optional int64 deadline (TIMESTAMP(MICROS, true));
    optional double duration_seconds;
    required binary trace_id (STRING);
    optional binary current_stage (STRING);
}";

/// The columns of periods, which are those of the CSV.
const EVENTS: &str = "message events {
    required int64 from (TIMESTAMP(MICROS, true));
    required int64 to (TIMESTAMP(MICROS, true));
    required double objective_ratio;
    optional int64 revision;
    required int64 good;
    required int64 bad;
    optional double budget_spent_ratio;
    required binary incidents (STRING);
}";

/// How the rows of an answer become those of a file.
pub(super) struct RowTable {
    /// The field of the answer that has the rows.
    list: &'static str,
    schema: &'static str,
    /// Gives a row the form that its columns have in CSV.
    adapt: fn(&mut Value),
}

impl RowTable {
    pub(super) const fn of(kind: TableKind) -> Self {
        match kind {
            TableKind::Workflows => Self {
                list: "workflows",
                schema: WORKFLOWS,
                adapt: without_past_stage,
            },
            TableKind::Events => Self {
                list: "periods",
                schema: EVENTS,
                adapt: with_ids_of_incidents,
            },
        }
    }

    /// Prints all parts as one file. If a part is missing the file has no end, so that no reader
    /// takes it for whole.
    pub(super) fn print(&self, server: &ServerArgs, first: String) -> anyhow::Result<ExitCode> {
        let output = io::stdout();
        ensure!(
            !output.is_terminal(),
            "a Parquet file is not for a terminal: write it to a file, as `> table.parquet`"
        );
        let api = Api::new(server)?;
        let mut file = ParquetFile::new(output, self.schema)?;
        let mut next = Some(first);
        while let Some(path) = next {
            let (mut answer, following) = match api.part(&path) {
                Ok(part) => part,
                Err(error) => return Ok(ApiError::report(&error)),
            };
            let Value::Array(mut rows) = answer[self.list].take() else {
                bail!("the service answers without `{}`", self.list);
            };
            rows.iter_mut().for_each(self.adapt);
            file.add(rows)?;
            next = following;
        }
        file.finish()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn without_past_stage(row: &mut Value) {
    if row["outcome"] != "open" {
        row["current_stage"] = Value::Null;
    }
}

fn with_ids_of_incidents(row: &mut Value) {
    let incidents = row["incidents"].as_array().into_iter().flatten();
    let ids = incidents.filter_map(|one| one["incident"].as_str());
    row["incidents"] = Value::from(ids.collect::<Vec<_>>().join(" "));
}

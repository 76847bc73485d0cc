//! The responses of a running service, for people or for programs.

use std::process::ExitCode;

use serde_json::Value;

use super::api::ApiError;
use crate::{
    cli::output::print,
    domain::model::{format, time::Timestamp},
};

/// How answers are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::cli) struct AnswerArgs {
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = AnswerFormat::Table, global = true)]
    output: AnswerFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AnswerFormat {
    /// For people
    Table,
    /// As the API has it
    Json,
}

/// One response in both forms.
pub(in crate::cli) struct Answer {
    pub(in crate::cli) json: Value,
    pub(in crate::cli) text: String,
}

impl AnswerArgs {
    pub(super) fn is_json(self) -> bool {
        self.output == AnswerFormat::Json
    }

    pub(in crate::cli) fn print(self, answer: &Answer) -> std::io::Result<()> {
        print(&self.format(answer))
    }

    pub(super) fn format(self, answer: &Answer) -> String {
        match self.output {
            AnswerFormat::Table => answer.text.clone(),
            AnswerFormat::Json => format!("{:#}\n", answer.json),
        }
    }

    /// Prints the response or the error.
    pub(super) fn finish(self, answered: Result<Answer, ApiError>) -> anyhow::Result<ExitCode> {
        match answered {
            Ok(answer) => {
                self.print(&answer)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(error.report()),
        }
    }
}

pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or(format::NONE)
}

pub(super) fn time(value: &Value) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(value.as_str()?)
}

//! `throughline schema`: what an editor needs to complete and check definitions while typing.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::domain::slo::definition::json_schema;

/// Print the JSON Schema of definitions
///
/// Point an editor at it with a first line such as
/// `# yaml-language-server: $schema=throughline.schema.json`.
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {}

pub fn run(_args: &SchemaArgs) -> ExitCode {
    let text = format!("{:#}\n", json_schema());
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}

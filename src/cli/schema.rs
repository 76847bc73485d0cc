//! `throughline schema`: what an editor needs to complete and check definitions while typing.

use std::process::ExitCode;

use super::output::print;
use crate::domain::slo::definition::json_schema;

/// Print the JSON Schema of definitions
///
/// Point an editor at it with a first line such as
/// `# yaml-language-server: $schema=throughline.schema.json`.
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {}

pub fn run(_args: &SchemaArgs) -> ExitCode {
    let text = format!("{:#}\n", json_schema());
    match print(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}

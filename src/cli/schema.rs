//! `throughline schema`: prints the schemas that editors and Kubernetes use to check definitions.

use std::process::ExitCode;

use super::output::print;
use crate::domain::slo::definition::{custom_resource_definition, json_schema};

/// Print the JSON Schema of definitions
///
/// Point an editor at it with a first line such as
/// `# yaml-language-server: $schema=throughline.schema.json`.
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {
    /// Print the `CustomResourceDefinition` of `kind: SLO` for Kubernetes instead, as YAML
    #[arg(long)]
    crd: bool,
}

pub fn run(args: &SchemaArgs) -> ExitCode {
    let text = if args.crd {
        serde_saphyr::to_string(&custom_resource_definition()).ok()
    } else {
        Some(format!("{:#}\n", json_schema()))
    };
    match text.map(|text| print(&text)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::from(3),
    }
}

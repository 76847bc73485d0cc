//! `throughline definitions`: confirms to a running service that files without any SLO are meant.

use std::{io::Write as _, process::ExitCode};

use clap::Subcommand;
use serde_json::json;

use super::api::{Api, ServerArgs};

/// Confirm that the definitions of a running service are to be empty
#[derive(clap::Args, Debug)]
pub struct DefinitionsArgs {
    #[command(subcommand)]
    command: DefinitionsCommand,
}

#[derive(Debug, Subcommand)]
enum DefinitionsCommand {
    /// Accept files that declare no SLO any more, or that have become empty
    ///
    /// The service keeps the previous definitions when its files declare nothing any more, since a
    /// volume that is not mounted looks the same. Delete or empty the files first. Alerts that fire
    /// resolve as no longer watched.
    Clear {
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub fn run(args: &DefinitionsArgs) -> anyhow::Result<ExitCode> {
    let DefinitionsCommand::Clear { server } = &args.command;
    match Api::new(server)?.post("/api/v1/definitions/clear", &json!({})) {
        Ok(_) => {
            writeln!(
                std::io::stdout(),
                "cleared: the files of the service are in force within a second"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(error.report()),
    }
}

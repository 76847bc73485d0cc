//! `throughline definitions`: confirms changed files to a running service.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{
    answer::{Answer, AnswerArgs},
    api::{Api, ServerArgs},
};

/// Confirm that the definition files of a running service are meant
#[derive(clap::Args, Debug)]
pub struct DefinitionsArgs {
    #[command(flatten)]
    output: AnswerArgs,
    #[command(subcommand)]
    command: DefinitionsCommand,
}

#[derive(Debug, Subcommand)]
enum DefinitionsCommand {
    /// Bring the files of one replica into force, although most replicas have others
    ///
    /// Changed files come into force when more than half of the replicas have them, so that a rollout
    /// switches once. This does not wait. Name the replica that has the new files with `--server`.
    Apply {
        #[command(flatten)]
        server: ServerArgs,
    },
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
    let (server, path, done) = match &args.command {
        DefinitionsCommand::Apply { server } => (server, "/api/v1/definitions/apply", "applied"),
        DefinitionsCommand::Clear { server } => (server, "/api/v1/definitions/clear", "cleared"),
    };
    let answered = Api::new(server)?.post(path, &json!({}));
    args.output.finish(answered.map(|json| Answer {
        text: format!("{done}: the files of the service are in force within a second\n"),
        json,
    }))
}

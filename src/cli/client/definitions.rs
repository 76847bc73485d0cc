//! `throughline definitions`: confirms changed files to a running service.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{
    answer::{Answer, AnswerArgs},
    api::{Api, ServerArgs},
};

/// Confirm changed definition files that a running service does not apply by itself
#[derive(clap::Args, Debug)]
pub struct DefinitionsArgs {
    #[command(flatten)]
    output: AnswerArgs,
    #[command(subcommand)]
    command: DefinitionsCommand,
}

#[derive(Debug, Subcommand)]
enum DefinitionsCommand {
    /// Apply the files of one replica, even if most replicas have other files
    ///
    /// Changed files come into force when more than half of the replicas have them, so that a rollout
    /// switches once. This command applies them at once. Name a replica that has the new files with
    /// `--server`.
    Apply {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Accept that the files no longer declare any SLO
    ///
    /// The service keeps the previous definitions when its files declare nothing any more, because a
    /// volume that is not mounted looks the same. Delete or empty the files first. Firing alerts then
    /// resolve with the reason that their SLO was removed.
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

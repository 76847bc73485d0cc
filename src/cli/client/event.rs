//! `throughline event`: reports a deploy, a flag or a note to a running service.

use std::{collections::BTreeMap, process::ExitCode};

use super::{
    answer::{Answer, AnswerArgs, text},
    api::{Api, ServerArgs},
};
use crate::domain::alerting::change_event::ChangeEventReport;

/// Report a deploy, a flag or a note to the service
///
/// The event is shown on the charts of the SLOs that it concerns and named in alerts. For pipelines:
/// `throughline event deploy --service warehouse-consumer --version 2.41.0`
#[derive(clap::Args, Debug)]
pub struct EventArgs {
    /// What kind of event: `deploy`, `flag` or `note`
    kind: String,
    /// Title, one line; by default the service and its version
    #[arg(long)]
    title: Option<String>,
    /// Service that changed, as in `service.name`; all services if omitted
    #[arg(long)]
    service: Option<String>,
    /// Version that went live
    #[arg(long = "version", id = "went_live", value_name = "VERSION")]
    version: Option<String>,
    /// Time of the event, such as 2026-11-22T09:16:00Z; by default now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Link to details
    #[arg(long)]
    url: Option<String>,
    /// A key and value of your own, as env=prod
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: EventArgs) -> anyhow::Result<ExitCode> {
    let report = ChangeEventReport {
        kind: args.kind,
        title: args.title,
        at: args.at,
        service: args.service,
        version: args.version,
        url: args.url,
        labels: BTreeMap::from_iter(args.labels),
    };
    let recorded = Api::new(&args.server)?.post("/api/v1/events", &report);
    let answered = recorded.map_err(|error| error.in_flags(&FLAGS));
    args.output.finish(answered.map(|recorded| {
        let [kind, title, at] = ["kind", "title", "at"].map(|field| text(&recorded[field]));
        Answer {
            text: format!("recorded: {kind} {title}, {at}\n"),
            json: recorded,
        }
    }))
}

/// The flags, by the corresponding names of API fields.
const FLAGS: [(&str, &str); 6] = [
    ("title", "title"),
    ("service", "service"),
    ("version", "version"),
    ("at", "at"),
    ("url", "url"),
    ("labels", "label"),
];

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a key and a value, as `env=prod`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    #[test]
    fn a_deploy_is_told_in_one_line() {
        let told = Cli::try_parse_from([
            "throughline",
            "event",
            "deploy",
            "--service",
            "shop",
            "--version",
            "2",
            "--label",
            "env=prod",
        ]);
        assert!(told.is_ok(), "{}", told.unwrap_err());
        let wrong = Cli::try_parse_from(["throughline", "event", "deploy", "--label", "prod"]);
        assert!(wrong.unwrap_err().to_string().contains("as `env=prod`"));
    }
}

//! The command line: parses arguments, prints text and returns an exit code.

mod arguments;
pub mod client;
pub mod convert;
pub mod demo;
pub mod doctor;
pub mod export;
pub mod healthcheck;
mod output;
pub mod overview;
pub mod problems;
pub mod replay;
pub mod schema;
pub mod serve;
pub mod size;
mod table;
pub mod token;
pub mod validate;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::client::{
    alerts, definitions, deliveries, event,
    inspect::{explain, suggest, workflow},
    notify_test, silence, status,
};
use crate::{
    config::{FileConfig, LogConfig},
    telemetry,
};

/// SLOs for work that runs through queues: one good or bad event per workflow, finished or not
#[derive(Debug, Parser)]
#[command(name = "throughline", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    log: LogConfig,
    #[command(flatten)]
    _file: FileConfig,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 what was checked is bad or the service failed, \
                          2 wrong usage, 3 could not check, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Overview(overview::OverviewArgs),
    Demo(demo::DemoArgs),
    Validate(validate::ValidateArgs),
    Schema(schema::SchemaArgs),
    Size(size::SizeArgs),
    Doctor(Box<doctor::DoctorArgs>),
    Healthcheck(healthcheck::HealthcheckArgs),
    Replay(Box<replay::ReplayArgs>),
    Status(status::StatusArgs),
    Alerts(alerts::AlertsArgs),
    Workflow(workflow::WorkflowArgs),
    Definitions(definitions::DefinitionsArgs),
    Export(export::ExportArgs),
    Convert(convert::ConvertArgs),
    Explain(explain::ExplainArgs),
    Suggest(suggest::SuggestArgs),
    Event(event::EventArgs),
    Silence(silence::SilenceArgs),
    Deliveries(deliveries::DeliveriesArgs),
    NotifyTest(notify_test::NotifyTestArgs),
    Token(token::TokenArgs),
    /// Print completions for a shell
    Completions {
        shell: clap_complete::Shell,
    },
    /// Print the manual page, as `throughline man | man -l -`
    Man,
}

impl Cli {
    /// Parses the arguments of the process and the settings file that they name.
    ///
    /// # Errors
    /// Errors in them, or the help that they request.
    pub fn read() -> Result<Self, clap::Error> {
        let arguments = std::env::args_os().collect();
        Self::try_parse_from(arguments::with_file(arguments)?)
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// The reason why the service did not start or ended. Commands that check something report for themselves and return their exit code.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(args) => serve::run(*args, &self.log),
            Command::Overview(args) => overview::run(args, &self.log),
            Command::Demo(args) => {
                // The demo prints its progress on standard output; the log is only for problems.
                telemetry::start(&self.log, "warn", None)?;
                demo::run(args)
            }
            Command::Validate(args) => Ok(validate::run(&args)),
            Command::Doctor(args) => doctor::run(&args),
            Command::Healthcheck(args) => healthcheck::run(&args),
            Command::Replay(args) => replay::run(*args, &self.log),
            Command::Deliveries(args) => deliveries::run(args),
            Command::Schema(args) => Ok(schema::run(&args)),
            Command::Size(args) => size::run(&args),
            Command::Definitions(args) => definitions::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Convert(args) => convert::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Suggest(args) => suggest::run(&args),
            Command::Event(args) => event::run(args),
            Command::Silence(args) => silence::run(&args),
            Command::NotifyTest(args) => notify_test::run(&args),
            Command::Token(args) => token::run(args),
            Command::Status(args) => status::run(&args),
            Command::Alerts(args) => alerts::run(&args),
            Command::Workflow(args) => workflow::run(&args),
            Command::Completions { shell } => {
                let mut text = Vec::new();
                let mut command = <Self as clap::CommandFactory>::command();
                clap_complete::generate(shell, &mut command, "throughline", &mut text);
                printed(&text)
            }
            Command::Man => printed(&manual()?),
        }
    }
}

fn printed(text: &[u8]) -> anyhow::Result<ExitCode> {
    output::print(&String::from_utf8_lossy(text))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns one page with a section for each command.
fn manual() -> io::Result<Vec<u8>> {
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    add_sections(&mut text, &command, "")?;
    Ok(text)
}

fn add_sections(text: &mut Vec<u8>, of: &clap::Command, names: &str) -> io::Result<()> {
    for command in of.get_subcommands() {
        if command.get_name() == "help" {
            continue;
        }
        let names = format!("{names} {}", command.get_name());
        writeln!(text, ".SH {}", names.trim_start().to_uppercase())?;
        let man = clap_mangen::Man::new(command.clone());
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        add_sections(text, command, &names)?;
    }
    Ok(())
}

//! Parses the command, runs it, and says what went wrong.

use std::process::ExitCode;

use clap::Parser as _;
use throughline::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| {
        #[expect(
            clippy::print_stderr,
            reason = "the last word of a command that failed"
        )]
        {
            eprintln!("error: {error:#}");
        }
        ExitCode::FAILURE
    })
}

//! Parses the command, runs it, and prints errors.

use std::process::ExitCode;

use throughline::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::read().unwrap_or_else(|error| error.exit());
    cli.run().unwrap_or_else(|error| {
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

//! Commands that print the present state once or repeatedly.

use std::{io::IsTerminal as _, process::ExitCode, thread, time::Duration};

use super::{
    answer::{Answer, AnswerArgs},
    api::ApiError,
};
use crate::cli::output::{OutputReader, print_more};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// Repeat at this interval, until Ctrl-C
    #[arg(short, long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "5s",
        require_equals = true, value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
}

/// Clears the screen of a terminal, as `watch` does.
const CLEAR: &str = "\x1b[2J\x1b[H";

impl WatchArgs {
    /// Prints the result of `look`. If it runs once, it ends with 1 if the result is bad. If it
    /// repeats, errors are printed and it continues, since the service may return; it ends when the
    /// output is closed.
    pub(super) fn show(
        self,
        output: AnswerArgs,
        look: impl Fn() -> Result<(Answer, bool), ApiError>,
    ) -> anyhow::Result<ExitCode> {
        let Some(interval) = self.watch else {
            return match look() {
                Ok((answer, is_bad)) => {
                    output.print(&answer)?;
                    Ok(ExitCode::from(u8::from(is_bad)))
                }
                Err(error) => Ok(error.report()),
            };
        };
        let clears = std::io::stdout().is_terminal() && !output.is_json();
        let before = if clears { CLEAR } else { "" };
        loop {
            let printed = match look() {
                Ok((answer, _)) => print_more(&format!("{before}{}", output.format(&answer)))?,
                Err(error) => {
                    error.report();
                    OutputReader::Reads
                }
            };
            if printed == OutputReader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
            thread::sleep(interval);
        }
    }
}

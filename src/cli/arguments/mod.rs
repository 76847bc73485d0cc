//! The arguments of the process, with the settings that the file of `--config` adds.

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Command, CommandFactory as _, error::ErrorKind};

use super::{
    Cli,
    problems::{Colour, render},
};
use crate::{
    config::{CONFIG_FILE, FileSettings},
    domain::slo::definition::DefinitionFile,
};

/// Returns `given` and, as arguments, the settings of the file that are neither flags in `given` nor
/// environment variables.
///
/// # Errors
/// If help is asked for, or if the file cannot be used. Errors in `given` are left to the next reader.
pub(super) fn with_file(mut given: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    let command = Cli::command().ignore_errors(true);
    let matches = command.try_get_matches_from(&given)?;
    let mut program = Cli::command();
    program.build();
    let (command, matches) = chosen(&program, &matches);
    if let Some(path) = matches.get_one::<PathBuf>(CONFIG_FILE) {
        let added = read(path, &program)?.arguments(command, matches);
        let end = given.iter().position(|argument| argument == "--");
        let end = end.unwrap_or(given.len());
        given.splice(end..end, added);
    }
    Ok(given)
}

/// Returns the innermost command, and what it was given.
fn chosen<'a>(command: &'a Command, matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    let below = matches
        .subcommand()
        .and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    match below {
        Some((command, matches)) => chosen(command, matches),
        None => (command, matches),
    }
}

fn read(path: &Path, program: &Command) -> Result<FileSettings, clap::Error> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        clap::Error::raw(
            ErrorKind::Io,
            format!("cannot read the settings file `{shown}`: {error}\n"),
        )
    })?;
    let file = DefinitionFile {
        path: shown.to_string(),
        text,
    };
    FileSettings::read(&file, program).map_err(|problems| {
        let problems = render(&problems, Colour::Plain);
        clap::Error::raw(
            ErrorKind::ValueValidation,
            format!("the settings file `{shown}` cannot be used\n\n{problems}"),
        )
    })
}

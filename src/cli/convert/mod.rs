//! `throughline convert`: converts definitions from and to OpenSLO.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use super::{
    output::print,
    problems::{Colour, count, render},
};
use crate::{
    app::definitions,
    domain::slo::definition::{
        Problem,
        openslo::{Conversion, from_openslo},
        to_openslo,
    },
};

/// Convert definitions of OpenSLO v1, or to OpenSLO v1
///
/// Prints the result. Fields that cannot be converted are listed on standard error, with name and
/// line. Exit codes: 0 everything was converted, 1 something was not, 3 nothing could be read.
#[derive(clap::Args, Debug)]
pub struct ConvertArgs {
    /// Format of the files
    #[arg(
        long,
        value_name = "FORMAT",
        conflicts_with = "to",
        required_unless_present = "to"
    )]
    from: Option<ForeignDefinitions>,
    /// Format to write
    #[arg(long, value_name = "FORMAT")]
    to: Option<ForeignDefinitions>,
    /// Files, or folders with all *.yaml, *.yml and *.json below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ForeignDefinitions {
    Openslo,
}

pub fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    for path in &args.paths {
        match definitions::read(path) {
            Ok(read) => {
                files.extend(read.files);
                unreadable.extend(read.problems);
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                let _written = writeln!(io::stderr(), "error: {error:#}");
                return Ok(ExitCode::from(3));
            }
        }
    }
    let converted = if args.to.is_some() {
        to_openslo(&files)
    } else {
        Ok(from_openslo(&files))
    };
    let (documents, problems) = match converted {
        Ok(Conversion {
            documents,
            problems,
        }) => (documents, problems),
        Err(problems) => (Vec::new(), problems),
    };
    let mut text = Vec::new();
    for document in &documents {
        text.push(serde_saphyr::to_string(document)?);
    }
    print(&text.join("---\n"))?;
    unreadable.extend(problems);
    report(&unreadable);
    Ok(if unreadable.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(problems: &[Problem]) {
    if problems.is_empty() {
        return;
    }
    let listed = render(problems, Colour::Plain);
    let _written = writeln!(io::stderr(), "{listed}{}", count(problems));
}

//! `throughline validate`: checks whether the service would accept definitions.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::output::print;
use super::problems::{Colour, count, quantity, render, render_github};
use crate::{
    app::definitions,
    domain::{
        model::ids::Name,
        slo::{
            Catalog, SloSelector,
            definition::{DefinitionFile, Problem, ProblemSeverity, load},
        },
    },
};

/// Check definitions: syntax, names, references and maths
///
/// All paths form one set: names are unique in the whole set, and files may refer to each other. Exit
/// codes: 0 no errors, 1 there are errors (with --strict also warnings), 3 nothing could be checked.
#[derive(clap::Args, Debug)]
pub struct ValidateArgs {
    /// Files, or folders with all *.yaml, *.yml and *.json below them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Definitions that these will replace, such as those of the main branch. Warns of removed
    /// targets, where firing alerts would never resolve
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,

    /// Count the SLOs that an installation with this setting judges
    #[arg(long, env = "THROUGHLINE_SLO_SELECTOR", value_name = "SELECTOR")]
    pub slo_selector: Option<SloSelector>,

    /// How problems are written
    #[arg(short, long, value_enum, default_value_t = ValidateOutput::Text)]
    pub output: ValidateOutput,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,

    /// The address of the pages, as the service has it
    #[arg(long, env = "THROUGHLINE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// When to colour
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub color: When,

    /// Any value turns colours off, see no-color.org
    #[arg(long, env = "NO_COLOR", hide = true)]
    pub no_color: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ValidateOutput {
    /// With the line underlined and advice
    Text,
    /// One object, for programs
    Json,
    /// Annotations of GitHub Actions
    Github,
}

/// The result of a validation.
#[derive(Debug)]
pub(super) struct ValidationReport {
    files: usize,
    /// `None` if the set is rejected.
    pub(super) catalog: Option<Catalog>,
    pub(super) problems: Vec<Problem>,
}

pub fn run(args: &ValidateArgs) -> ExitCode {
    let findings = match check_against(&args.paths, args.against.as_deref()) {
        Ok(findings) => findings.selected_by(args.slo_selector.clone()),
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            let _written = writeln!(io::stderr(), "error: {error}{cause}");
            return ExitCode::from(3);
        }
    };
    let mut text = findings.text(args.output, args.colour());
    if args.output == ValidateOutput::Text {
        text += findings.note(args.public_url.as_deref());
    }
    if print(&text).is_err() {
        return ExitCode::from(3);
    }
    let is_bad = findings.catalog.is_none() || (args.strict && !findings.problems.is_empty());
    ExitCode::from(u8::from(is_bad))
}

impl ValidateArgs {
    fn colour(&self) -> Colour {
        let is_unwanted = self
            .no_color
            .as_ref()
            .is_some_and(|value| !value.is_empty());
        match self.color {
            When::Always => Colour::Coloured,
            When::Auto if io::stdout().is_terminal() && !is_unwanted => Colour::Coloured,
            When::Auto | When::Never => Colour::Plain,
        }
    }
}

fn check_against(
    paths: &[PathBuf],
    against: Option<&Path>,
) -> Result<ValidationReport, definitions::ReadError> {
    let mut report = check(paths)?;
    let before = against.map(definitions::read).transpose()?;
    // Active definitions are valid; from invalid ones nothing can be removed.
    let before = before.and_then(|before| load(&before.files).ok());
    if let (Some(now), Some((before, _))) = (&report.catalog, before) {
        let path = paths.first().map(|path| path.display().to_string());
        let path = path.unwrap_or_default();
        let lost = now.lost_targets(&before).map(|target| lost(&path, target));
        report.problems.extend(lost);
    }
    Ok(report)
}

fn lost(path: &str, target: &Name) -> Problem {
    let message =
        format!("target `{target}` is removed: alerts that fire there are never resolved there");
    let help = format!("if another target takes its place, write `previousName: {target}` there");
    Problem {
        severity: ProblemSeverity::Warning,
        ..Problem::of_file(path, message, Some(help))
    }
}

/// Reads and checks all files of `paths` as one set.
pub(super) fn check(paths: &[PathBuf]) -> Result<ValidationReport, definitions::ReadError> {
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        let found = definitions::read(path)?;
        let prefix = if path.is_dir() {
            path.as_path()
        } else {
            Path::new("")
        };
        let shown = |below: &str| prefix.join(below).display().to_string();
        files.extend(found.files.into_iter().map(|file| DefinitionFile {
            path: shown(&file.path),
            ..file
        }));
        unreadable.extend(found.problems.into_iter().map(|problem| Problem {
            file: shown(&problem.file),
            ..problem
        }));
    }
    let (catalog, problems) = match load(&files) {
        Ok((catalog, warnings)) => (unreadable.is_empty().then_some(catalog), warnings),
        Err(problems) => (None, problems),
    };
    unreadable.extend(problems);
    Ok(ValidationReport {
        files: files.len(),
        catalog,
        problems: unreadable,
    })
}

impl ValidationReport {
    fn selected_by(mut self, selector: Option<SloSelector>) -> Self {
        if let Some(selector) = selector {
            self.catalog = self.catalog.map(|catalog| catalog.selected_by(selector));
        }
        self
    }

    fn text(&self, output: ValidateOutput, colour: Colour) -> String {
        match output {
            ValidateOutput::Text => {
                format!("{}{}\n", render(&self.problems, colour), self.summary())
            }
            ValidateOutput::Github => render_github(&self.problems),
            ValidateOutput::Json => {
                let catalog = self.catalog.as_ref();
                let slos = catalog.map_or(0, |catalog| catalog.slos.len());
                let others = catalog.map_or(0, |catalog| catalog.other_slos.len());
                let report = serde_json::json!({
                    "valid": self.catalog.is_some(),
                    "files": self.files,
                    "slos": slos,
                    "other_slos": others,
                    "problems": self.problems,
                });
                format!("{report:#}\n")
            }
        }
    }

    /// Returns a note on what cannot be checked without the service.
    fn note(&self, public_url: Option<&str>) -> &'static str {
        let has_targets = self
            .catalog
            .as_ref()
            .is_some_and(|catalog| !catalog.targets.is_empty());
        if has_targets && public_url.is_none() {
            "note: messages have links and buttons only if the service has --public-url\n"
        } else {
            ""
        }
    }

    fn summary(&self) -> String {
        let files = quantity(self.files, "file");
        let counted = count(&self.problems);
        match &self.catalog {
            Some(catalog) => {
                let slos = quantity(catalog.slos.len(), "SLO");
                let others = match &catalog.selector {
                    Some(_) => {
                        format!(", {} left to other installations", catalog.other_slos.len())
                    }
                    None => String::new(),
                };
                format!("{files}, {slos}{others}: {counted}")
            }
            None => format!("{files}: {counted}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: &str = "apiVersion: throughline/v1\nkind: SLO\nmetadata: { name: a }\nspec:\n  \
        objective: 99.5%\n  window: 30d\n  notify: { page: [b] }\n  indicator:\n    span: { match: '{ true }', good: '{ true }' }\n";
    const TARGET: &str = "apiVersion: throughline/v1\nkind: AlertNotificationTarget\n\
        metadata: { name: b }\nspec: { webhook: { url: http://localhost } }\n";

    #[test]
    fn references_may_cross_files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("slos")).unwrap();
        let slo = folder.path().join("slos/a.yaml");
        let target = folder.path().join("b.yaml");
        std::fs::write(&slo, SLO).unwrap();
        std::fs::write(&target, TARGET).unwrap();
        let together = check(&[folder.path().join("slos"), target]).unwrap();
        assert_eq!(together.summary(), "2 files, 1 SLO: 0 errors, 0 warnings");
        let alone = check(std::slice::from_ref(&slo)).unwrap();
        assert_eq!(alone.summary(), "1 file: 1 error, 0 warnings");
        assert_eq!(alone.problems[0].file, slo.display().to_string());
    }

    #[test]
    fn slos_that_a_selector_leaves_to_other_installations_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), SLO).unwrap();
        std::fs::write(folder.path().join("b.yaml"), TARGET).unwrap();
        let report = check(&[folder.path().to_owned()]).unwrap();
        let report = report.selected_by(Some("team=checkout".parse().unwrap()));
        assert_eq!(
            report.summary(),
            "2 files, 0 SLOs, 1 left to other installations: 0 errors, 0 warnings"
        );
        let json: serde_json::Value =
            serde_json::from_str(&report.text(ValidateOutput::Json, Colour::Plain)).unwrap();
        assert_eq!((&json["slos"], &json["other_slos"]), (&0.into(), &1.into()));
    }

    #[test]
    fn an_unreadable_file_is_an_error_beside_those_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), SLO).unwrap();
        std::fs::write(folder.path().join("b.yaml"), b"\xff").unwrap();
        let findings = check(&[folder.path().to_owned()]).unwrap();
        assert!(findings.catalog.is_none());
        assert_eq!(findings.problems.len(), 2);
        let json: serde_json::Value =
            serde_json::from_str(&findings.text(ValidateOutput::Json, Colour::Plain)).unwrap();
        assert_eq!(json["valid"], false);
        assert_eq!(json["problems"][1]["line"], 7);
    }

    #[test]
    fn a_target_that_is_lost_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let before = write("before.yaml", TARGET);
        let moved = TARGET.replace("name: b", "name: c");
        let elsewhere = moved.replace("http://localhost", "http://elsewhere");
        let renamed = elsewhere.replace("spec: {", "spec: { previousName: b,");
        let warnings = |text: &str| {
            let now = write("now.yaml", text);
            let report = check_against(&[now], Some(&before)).unwrap();
            report.problems.into_iter().map(|problem| problem.message)
        };
        assert_eq!(warnings(&moved).count(), 0);
        assert_eq!(warnings(&renamed).count(), 0);
        let lost: Vec<String> = warnings(&elsewhere).collect();
        assert_eq!(
            lost,
            ["target `b` is removed: alerts that fire there are never resolved there"]
        );
    }

    #[test]
    fn targets_without_an_address_of_the_pages_are_noted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.yaml"), TARGET).unwrap();
        let report = check(&[folder.path().to_owned()]).unwrap();
        assert!(report.note(None).contains("--public-url"));
        assert_eq!(report.note(Some("https://slo.example.com")), "");
        std::fs::remove_file(folder.path().join("b.yaml")).unwrap();
        assert_eq!(check(&[folder.path().to_owned()]).unwrap().note(None), "");
    }

    #[test]
    fn a_path_that_is_not_there_cannot_be_checked() {
        assert!(check(&[PathBuf::from("does/not/exist")]).is_err());
    }
}

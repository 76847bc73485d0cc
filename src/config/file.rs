//! Settings from a TOML file. Its keys are the names of flags, and the parsers of the flags read its
//! values, so the definition of the flags is the only list of settings.

use std::{ffi::OsString, ops::Range, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, parser::ValueSource};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::domain::slo::definition::{
    DefinitionFile, Diagnostics, Problem, SourceSpan, did_you_mean,
};

/// The name and id of the flag that names the file.
pub const CONFIG_FILE: &str = "config";
/// The secret setting whose value need not hold a secret.
const DATABASE_URL: &str = "DATABASE_URL";

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings from a file")]
pub struct FileConfig {
    /// TOML file of settings. Its keys are the names of flags, as `horizon = "7d"`. Flags and
    /// environment variables take precedence. It is read at the start only
    #[arg(
        long = CONFIG_FILE,
        env = "THROUGHLINE_CONFIG",
        value_name = "FILE",
        global = true
    )]
    pub config: Option<PathBuf>,
}

/// The settings of one file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings(Vec<FileSetting>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileSetting {
    name: String,
    arguments: Vec<String>,
}

/// Returns the key of `arg` in a file; `None` if it cannot be set there.
pub(super) fn key(arg: &Arg) -> Option<&str> {
    let is_setting = arg.get_env().is_some() && !arg.is_hide_set();
    arg.get_long()
        .filter(|name| is_setting && *name != CONFIG_FILE)
}

impl FileSettings {
    /// Reads the settings of `program` and of all its subcommands.
    ///
    /// # Errors
    /// All problems of the file.
    pub fn read(file: &DefinitionFile, program: &Command) -> Result<Self, Vec<Problem>> {
        let mut problems = Diagnostics::new(file);
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        for error in errors {
            let at = error.span().unwrap_or_default();
            problems.mask(value_of_line(&file.text, at.start));
            problems.error_with_help(
                SourceSpan(at.start, at.end),
                format!("this is not TOML: {}", error.message()),
                "write one setting in a line, as `horizon = \"7d\"`".to_owned(),
            );
        }
        let known = settings(program);
        let mut found = Vec::new();
        for (name, value) in table.get_ref() {
            let entry = FileEntry {
                name: name.get_ref(),
                at: name.span(),
                value,
            };
            found.extend(entry.read(&known, &mut problems));
        }
        let problems = problems.into_problems();
        if problems.is_empty() {
            Ok(Self(found))
        } else {
            Err(problems)
        }
    }

    /// Returns the arguments for those settings of `command` that `matches` has from no flag and no
    /// variable.
    pub fn arguments(&self, command: &Command, matches: &ArgMatches) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for setting in &self.0 {
            let mut own = command.get_arguments();
            let Some(arg) = own.find(|arg| key(arg) == Some(&setting.name)) else {
                continue;
            };
            let source = matches.value_source(arg.get_id().as_str());
            let is_given = matches!(
                source,
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            );
            if !is_given {
                arguments.extend(setting.arguments.iter().map(OsString::from));
            }
        }
        arguments
    }
}

/// Returns the settings of `command` and of its subcommands.
fn settings(command: &Command) -> Vec<&Arg> {
    let own = command.get_arguments().filter(|arg| key(arg).is_some());
    let below = command.get_subcommands().flat_map(settings);
    own.chain(below).collect()
}

/// Returns the part of a line, given by a byte, that may be a value and so a secret.
fn value_of_line(text: &str, offset: usize) -> Range<usize> {
    let (head, tail) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = head.rfind('\n').map_or(0, |at| at + 1);
    let end = head.len() + tail.find('\n').unwrap_or(tail.len());
    let line = text.get(start..end).unwrap_or_default();
    start + line.find('=').map_or(0, |at| at + 1)..end
}

/// A key of the file with its value.
struct FileEntry<'a> {
    name: &'a str,
    at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl FileEntry<'_> {
    /// Returns `None` if there is a problem, which it adds to `problems`.
    fn read(&self, known: &[&Arg], problems: &mut Diagnostics<'_>) -> Option<FileSetting> {
        let Some(arg) = known.iter().find(|arg| key(arg) == Some(self.name)) else {
            let value = self.value.span();
            problems.mask(value.start.max(self.at.end)..value.end);
            problems.error_with_help(
                SourceSpan(self.at.start, self.at.end),
                format!("`{}` is no setting", self.name),
                self.advice(known),
            );
            return None;
        };
        let checked = values(arg, self.value.get_ref()).and_then(|values| check(arg, &values));
        let at = self.value.span();
        if arg.is_hide_env_values_set() {
            problems.mask(at.clone());
        }
        match checked {
            Ok(arguments) => Some(FileSetting {
                name: self.name.to_owned(),
                arguments,
            }),
            Err(why) => {
                problems.error_with_help(
                    SourceSpan(at.start, at.end),
                    format!("`{}`: {}", self.name, why.message),
                    why.help,
                );
                None
            }
        }
    }

    fn advice(&self, known: &[&Arg]) -> String {
        if matches!(self.value.get_ref(), DeValue::Table(_)) {
            return "write settings without tables, as `horizon = \"7d\"`".to_owned();
        }
        let names = known.iter().filter_map(|arg| key(arg));
        did_you_mean(self.name, names)
            .filter(|advice| advice.starts_with("did"))
            .unwrap_or_else(|| "`throughline serve --help` lists all settings".to_owned())
    }
}

/// The reason why a value cannot be used.
struct UnusableValue {
    message: String,
    help: Option<String>,
}

impl UnusableValue {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }
}

/// Returns the values of a setting as texts, `true` for a flag that is set.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, UnusableValue> {
    let takes_value = arg.get_action().takes_values();
    match value {
        DeValue::Boolean(is_set) if !takes_value => {
            Ok(is_set.then(|| true.to_string()).into_iter().collect())
        }
        _ if !takes_value => Err(UnusableValue::new(
            "must be `true` or `false`, without quotes",
        )),
        DeValue::Array(items) if arg.get_value_delimiter().is_some() => {
            if items.is_empty() {
                let why = "the list is empty: leave the setting out for its default";
                return Err(UnusableValue::new(why));
            }
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        DeValue::Array(_) => Err(UnusableValue::new("must be one value, not a list")),
        value => scalar(value).map(|value| vec![value]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, UnusableValue> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number
                .map(|number| number.to_string())
                .map_err(|_| UnusableValue::new("the number is too large"))
        }
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(_) => Err(UnusableValue::new(
            "must be a text or a number, not a boolean",
        )),
        DeValue::Datetime(_) => Err(UnusableValue::new("must be a text or a number, not a time")),
        DeValue::Array(_) => Err(UnusableValue::new("must be a text or a number, not a list")),
        DeValue::Table(_) => Err(UnusableValue::new(
            "must be a text or a number, not a table",
        )),
    }
}

/// Returns the arguments that give `values` to `arg`.
fn check(arg: &Arg, values: &[String]) -> Result<Vec<String>, UnusableValue> {
    if arg.is_hide_env_values_set() {
        let variable = arg.get_env().unwrap_or_default().to_string_lossy();
        refuse_secrets(&variable, values)?;
    }
    let name = arg.get_long().unwrap_or_default();
    if !arg.get_action().takes_values() {
        return Ok(values.iter().map(|_| format!("--{name}")).collect());
    }
    let arguments = |name: &str| -> Vec<String> {
        let values = values.iter();
        values.map(|value| format!("--{name}={value}")).collect()
    };
    // Checked alone: what one setting requires of another is checked when all are known.
    let alone = Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .action(arg.get_action().clone())
        .value_delimiter(arg.get_value_delimiter())
        .value_parser(arg.get_value_parser().clone());
    let command = Command::new(CONFIG_FILE)
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(alone);
    match command.try_get_matches_from(arguments(CONFIG_FILE)) {
        Ok(_) => Ok(arguments(name)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &clap::Error) -> UnusableValue {
    use clap::error::{ContextKind, ContextValue};

    if let Some(cause) = std::error::Error::source(error) {
        return UnusableValue::new(cause.to_string());
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => {
            let valid: Vec<String> = valid.iter().map(|value| format!("`{value}`")).collect();
            UnusableValue::new(format!("must be one of {}", valid.join(", ")))
        }
        _ => UnusableValue::new("cannot be read"),
    }
}

fn refuse_secrets(variable: &str, values: &[String]) -> Result<(), UnusableValue> {
    let help = if variable != DATABASE_URL {
        format!("set {variable} instead")
    } else if values.iter().any(|url| has_password(url)) {
        format!(
            "leave the password out and put it into the file that PGPASSFILE names, or set {variable}"
        )
    } else {
        return Ok(());
    };
    Err(UnusableValue {
        message: "a secret does not belong into this file".to_owned(),
        help: Some(help),
    })
}

fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, query) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || query.contains("password=")
}

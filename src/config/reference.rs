//! The reference of the settings of `throughline serve`, made from the definitions of its flags.

use clap::{Arg, Args as _, Command};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Config, LogConfig, TRACE_VARIABLES,
    file::{self, FileConfig},
};

/// Settings under one heading, in the order of `--help`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SettingGroup {
    pub heading: String,
    /// Empty if the settings need no introduction.
    pub about: String,
    pub settings: Vec<SettingReference>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SettingReference {
    /// With its value: `--horizon <DURATION>`.
    pub flag: String,
    pub variable: String,
    /// The key in the file of `--config`; `None` if it cannot be set there.
    pub key: Option<String>,
    /// `None` if there is no default.
    pub default: Option<String>,
    pub about: String,
}

/// Returns all settings, except those for tests only.
pub fn reference() -> Vec<SettingGroup> {
    let command = Config::augment_args(Command::new("serve"));
    let command = LogConfig::augment_args(FileConfig::augment_args(command));
    let mut groups: Vec<SettingGroup> = Vec::new();
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    for arg in shown {
        let heading = arg.get_help_heading().unwrap_or("Other");
        let setting = SettingReference::of(arg);
        match groups.iter_mut().find(|group| group.heading == heading) {
            Some(group) => group.settings.push(setting),
            None => groups.push(SettingGroup {
                heading: heading.to_owned(),
                about: String::new(),
                settings: vec![setting],
            }),
        }
    }
    groups.push(SettingGroup {
        heading: "Traces of the service itself".to_owned(),
        about: TRACE_VARIABLES.to_owned(),
        settings: Vec::new(),
    });
    groups
}

impl SettingReference {
    fn of(arg: &Arg) -> Self {
        let name = arg.get_long().unwrap_or_default();
        let values = arg.get_value_names().unwrap_or_default();
        let takes_value = arg.get_action().takes_values();
        let value = values.first().filter(|_| takes_value);
        let defaults = arg.get_default_values().iter();
        let default = defaults
            .map(|value| value.to_string_lossy())
            .collect::<Vec<_>>()
            .join(",");
        let about = arg.get_help().map(ToString::to_string);
        Self {
            flag: value.map_or_else(
                || format!("--{name}"),
                |value| format!("--{name} <{value}>"),
            ),
            variable: arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            key: file::key(arg).map(str::to_owned),
            default: (takes_value && !default.is_empty()).then_some(default),
            about: about.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_variable_and_a_sentence() {
        let groups = reference();
        let headings: Vec<_> = groups.iter().map(|group| group.heading.as_str()).collect();
        assert!(
            headings.starts_with(&["Definitions", "Database"]),
            "{headings:?}"
        );
        for setting in groups.iter().flat_map(|group| &group.settings) {
            assert!(!setting.variable.is_empty(), "{setting:?}");
            assert!(!setting.about.is_empty(), "{setting:?}");
        }
    }

    #[test]
    fn every_setting_but_the_file_itself_has_a_key_in_a_file() {
        let groups = reference();
        let settings = groups.iter().flat_map(|group| &group.settings);
        let without = settings.filter(|setting| setting.key.is_none());
        let without: Vec<&str> = without.map(|setting| setting.flag.as_str()).collect();
        assert_eq!(without, ["--config <FILE>"]);
    }

    #[test]
    fn a_setting_shows_its_value_and_its_default() {
        let groups = reference();
        let find = |flag: &str| {
            let mut settings = groups.iter().flat_map(|group| &group.settings);
            settings.find(|setting| setting.flag == flag).cloned()
        };
        let horizon = find("--horizon <DURATION>").unwrap();
        assert_eq!(horizon.default.as_deref(), Some("7d"));
        assert_eq!(horizon.variable, "THROUGHLINE_HORIZON");
        assert_eq!(horizon.key.as_deref(), Some("horizon"));
        assert_eq!(find("--config <FILE>").unwrap().key, None);
        assert_eq!(find("--require-user").unwrap().default, None);
        assert_eq!(find("--failpoints <FOLDER>"), None);
    }
}

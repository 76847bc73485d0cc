//! Names are the field's words: keys of definitions, flags and environment variables, routes, metrics,
//! keys of message bodies and of the API, tables, columns and types.

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory as _;
use regex::Regex;
use serde_json::Value;
use throughline::{cli::Cli, domain::slo::definition::json_schema};

/// Words of the first drafts, for which the field has others.
const WORDS: [&str; 30] = [
    "absurd",
    "audience",
    "away",
    "deed",
    "episode",
    "errand",
    "fate",
    "former",
    "happening",
    "happenings",
    "hurt",
    "mend",
    "news",
    "nonsense",
    "patience",
    "picture",
    "pictures",
    "promise",
    "refused",
    "repairs",
    "said",
    "says",
    "secs",
    "standing",
    "stretch",
    "tell",
    "told",
    "tries",
    "trouble",
    "wish",
];

/// The same, of several words.
const PHRASES: [&str; 9] = [
    "budget_left",
    "clock_ahead",
    "given_up",
    "handed_over",
    "held_back",
    "on_their_way",
    "stands_in",
    "taken_on",
    "where_the_time_goes",
];

/// Types of the first drafts, for which others stand.
const TYPES: [&str; 12] = [
    "Beat",
    "Door",
    "Fold",
    "Folded",
    "Gate",
    "Occasion",
    "Placement",
    "Rhythm",
    "Subject",
    "Unplaced",
    "Whose",
    "World",
];

/// Asserts that no name has a word of the first drafts.
pub fn assert_field_words(names: &BTreeSet<String>) {
    assert!(!names.is_empty(), "no names were found");
    let found: Vec<String> = names
        .iter()
        .filter_map(|name| Some(format!("`{name}` has `{}`", drafted(name)?)))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// All keys of a JSON value, at any depth.
pub fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

fn drafted(name: &str) -> Option<&'static str> {
    let name = snake_case(name);
    let word = WORDS
        .into_iter()
        .find(|word| name.split('_').any(|part| part == *word));
    word.or_else(|| PHRASES.into_iter().find(|phrase| name.contains(phrase)))
}

/// `formerRoutingKey`, `former-routing-key` and `/former/routing` alike.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut is_after_lowercase = false;
    for character in name.chars() {
        if is_after_lowercase && character.is_ascii_uppercase() {
            snake.push('_');
        }
        let is_part = character.is_ascii_alphanumeric();
        snake.push(if is_part {
            character.to_ascii_lowercase()
        } else {
            '_'
        });
        is_after_lowercase = character.is_ascii_lowercase();
    }
    snake
}

/// What `pattern` captures in all files below `folder` with this ending.
fn captured(folder: &str, ending: &str, pattern: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let mut texts = Vec::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        ending,
        &mut texts,
    );
    texts
        .iter()
        .flat_map(|text| pattern.captures_iter(text).map(|found| found[1].to_owned()))
        .collect()
}

fn read(folder: &Path, ending: &str, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, ending, texts);
        } else if path.extension().is_some_and(|found| found == ending) {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn keys_and_values_of_definitions() {
    let schema = json_schema();
    let mut names = BTreeSet::new();
    for definition in schema["$defs"].as_object().unwrap().values() {
        let properties = definition["properties"].as_object();
        names.extend(
            properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone()),
        );
        let values = definition["enum"].as_array();
        let values = values.into_iter().flatten().filter_map(Value::as_str);
        names.extend(values.map(str::to_owned));
    }
    assert!(names.contains("customerDetails"), "{names:?}");
    assert_field_words(&names);
}

#[test]
fn commands_flags_and_environment_variables() {
    let mut names = BTreeSet::new();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        names.insert(command.get_name().to_owned());
        for argument in command.get_arguments() {
            names.extend(argument.get_long().map(str::to_owned));
            names.extend(
                argument
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(names.contains("database-url"), "{names:?}");
    assert_field_words(&names);
}

/// An episode is not only that of an alert, which is an incident: `alert::Episode` has the reason.
#[test]
fn tables_and_columns() {
    let pattern = r"(?m)^comment on (?:table|column) ([a-z_.0-9]+) is";
    let mut names: BTreeSet<String> = captured("migrations", "sql", pattern)
        .iter()
        .flat_map(|name| name.split('.').map(str::to_owned))
        .collect();
    assert!(names.contains("ordering_key") && names.remove("episode"));
    assert_field_words(&names);
}

#[test]
fn types() {
    let pattern = r"(?m)^ *(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) ([A-Z]\w*)";
    let mut names = captured("src", "rs", pattern);
    assert!(names.contains("SloStatus"), "{names:?}");
    names.retain(|name| !name.starts_with("Episode"));
    assert_field_words(&names);
    let found: Vec<_> = names
        .iter()
        .filter(|name| TYPES.contains(&name.as_str()))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn metrics() {
    let names = captured("src", "rs", r#""(throughline_[a-z_]+)""#);
    assert!(names.contains("throughline_slo_burn_rate"), "{names:?}");
    assert_field_words(&names);
}

#[test]
fn routes() {
    let names = captured("src/web", "rs", r#"route\(\s*"([^"]+)""#);
    assert!(names.contains("/actions/{action}/{id}"), "{names:?}");
    assert_field_words(&names);
}

#[test]
fn keys_of_message_bodies() {
    let names = captured("src/domain", "snap", r#"(?m)^\s*"([a-zA-Z_]+)": "#);
    assert!(names.contains("alert_key"), "{names:?}");
    assert_field_words(&names);
}

#[test]
fn a_word_of_the_first_drafts_is_found_in_every_spelling() {
    for (name, word) in [
        ("tellCustomers", "tell"),
        ("/act/{deed}/{id}", "deed"),
        ("THROUGHLINE_DATABASE_PATIENCE", "patience"),
        ("stands_in_for", "stands_in"),
        ("held-back", "held_back"),
    ] {
        assert_eq!(drafted(name), Some(word), "{name}");
    }
    for name in ["acknowledged", "fallback_for", "database-startup-timeout"] {
        assert_eq!(drafted(name), None, "{name}");
    }
}

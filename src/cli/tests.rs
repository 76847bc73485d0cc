//! Tests with whole files as input, and the text for people as output.

use std::{fs, path::PathBuf};

use super::problems::{Colour, render, render_github};
use crate::domain::slo::{
    Catalog,
    definition::{DefinitionFile, Problem, load},
};

fn fixtures(folder: &str) -> Vec<(String, DefinitionFile)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let file = DefinitionFile {
                path: path.file_name().unwrap().to_str().unwrap().to_owned(),
                text: fs::read_to_string(&path).unwrap(),
            };
            (stem, file)
        })
        .collect()
}

fn load_good(name: &str) -> (Catalog, Vec<Problem>) {
    let found = fixtures("tests/fixtures/definitions/good")
        .into_iter()
        .find(|(stem, _)| stem == name);
    let (_, file) = found.unwrap();
    load(&[file]).unwrap_or_else(|problems| panic!("{}", render(&problems, Colour::Plain)))
}

#[test]
fn every_mistake_is_shown_with_its_place_and_advice() {
    let mut all = Vec::new();
    for (stem, file) in fixtures("tests/fixtures/definitions/bad") {
        let problems = load(std::slice::from_ref(&file)).expect_err(&stem);
        all.push((format!("bad__{stem}"), render(&problems, Colour::Plain)));
    }
    assert!(all.len() > 15, "the fixtures were not found");
    for (name, text) in all {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn every_good_file_is_taken() {
    for (stem, file) in fixtures("tests/fixtures/definitions/good") {
        if let Err(problems) = load(&[file]) {
            panic!("{stem}: {}", render(&problems, Colour::Plain));
        }
    }
}

#[test]
fn what_is_doubtful_is_taken_with_a_warning() {
    let (catalog, warnings) = load_good("short-window");
    insta::assert_snapshot!("warnings__short-window", render(&warnings, Colour::Plain));
    assert!(warnings.iter().all(|warning| !warning.is_error()));
    let loose = &catalog.slos[&"loose-and-short".parse().unwrap()];
    let rules = loose.alerting.rules.iter();
    let rules: Vec<_> = rules
        .map(|rule| (rule.name.as_str(), rule.factor))
        .collect();
    let expected = [("fast-burn", 2.0), ("slow-burn", 2.0), ("day-burn", 1.0)];
    assert_eq!(rules, expected);
}

#[test]
fn a_grace_that_hides_timeouts_from_a_short_window_is_warned_of() {
    let (_, warnings) = load_good("long-grace");
    insta::assert_snapshot!("warnings__long-grace", render(&warnings, Colour::Plain));
}

#[test]
fn s40_a_start_and_a_finish_that_are_one_span_are_warned_of_unless_something_opens_the_work() {
    let (catalog, warnings) = load_good("one-span");
    insta::assert_snapshot!("warnings__one-span", render(&warnings, Colour::Plain));
    let runbooks = catalog.slos.values().map(|slo| slo.runbook.as_deref());
    let runbooks: Vec<&str> = runbooks.flatten().collect();
    assert_eq!(runbooks, ["https://wiki.example.com/St%C3%B6rung"]);
}

#[test]
fn a_literal_secret_is_in_no_output() {
    let (_, file) = fixtures("tests/fixtures/definitions/bad")
        .into_iter()
        .find(|(stem, _)| stem == "literal-secrets")
        .unwrap();
    assert_eq!(file.text.matches("hunter2").count(), 10);
    assert_shows_no_secret(&file);
}

#[test]
fn a_literal_secret_is_in_no_output_however_broken_its_file_is() {
    let (_, file) = fixtures("tests/fixtures/definitions/bad")
        .into_iter()
        .find(|(stem, _)| stem == "literal-secrets")
        .unwrap();
    let lines: Vec<&str> = file.text.lines().collect();
    for at in 0..lines.len() {
        let without: Vec<&str> = [&lines[..at], &lines[at + 1..]].concat();
        let indented: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(number, line)| format!("{}{line}", if number == at { " " } else { "" }))
            .collect();
        for text in [
            lines[..=at].join("\n"),
            without.join("\n"),
            indented.join("\n"),
        ] {
            let path = file.path.clone();
            assert_shows_no_secret(&DefinitionFile { path, text });
        }
    }
}

fn assert_shows_no_secret(file: &DefinitionFile) {
    let problems = load(std::slice::from_ref(file)).err().unwrap_or_default();
    let outputs = [
        render(&problems, Colour::Plain),
        render(&problems, Colour::Coloured),
        render_github(&problems),
        serde_json::to_string(&problems).unwrap(),
        format!("{problems:?}"),
    ];
    for output in outputs {
        assert!(!output.contains("hunter2"), "{output}");
    }
}

#[test]
fn the_definitions_that_come_with_the_product_are_taken_without_a_warning() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = crate::app::definitions::read(&root.join("slo-definitions")).unwrap();
    assert_eq!(found.problems, []);
    let (catalog, warnings) = load(&found.files)
        .unwrap_or_else(|problems| panic!("{}", render(&problems, Colour::Plain)));
    assert_eq!(render(&warnings, Colour::Plain), "");
    assert!(catalog.slos.len() >= 3);
}

#[test]
fn nothing_is_left_out_silently() {
    let (_, file) = fixtures("tests/fixtures/definitions/good")
        .into_iter()
        .find(|(stem, _)| stem == "everything")
        .unwrap();
    let lines: Vec<&str> = file.text.lines().collect();
    let mut taken = 0;
    for left_out in 0..lines.len() {
        let mut lines = lines.clone();
        lines.remove(left_out);
        let text = lines.join("\n");
        let count = |kind: &str| text.matches(&format!("\nkind: {kind}\n")).count();
        let (slos, targets) = (count("SLO"), count("AlertNotificationTarget"));
        let path = file.path.clone();
        if let Ok((catalog, _)) = load(&[DefinitionFile { path, text }]) {
            assert_eq!((catalog.slos.len(), catalog.targets.len()), (slos, targets));
            taken += 1;
        }
    }
    assert!(
        taken > 10,
        "most fields may be left out, but only {taken} were"
    );
}

#[test]
fn the_commands_are_well_formed() {
    use clap::Args as _;

    super::validate::ValidateArgs::augment_args(clap::Command::new("validate")).debug_assert();
    super::schema::SchemaArgs::augment_args(clap::Command::new("schema")).debug_assert();
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_text_makes_it_panic(cut in 0_usize..4_000, insert in "\\PC{0,8}|[\\n{}\\[\\]:&*\"' -]{0,8}") {
            let (_, file) = fixtures("tests/fixtures/definitions/good")
                .into_iter()
                .find(|(stem, _)| stem == "everything")
                .unwrap();
            let mut at = cut.min(file.text.len());
            while !file.text.is_char_boundary(at) {
                at -= 1;
            }
            let (head, tail) = file.text.split_at(at);
            let problems = load(&[DefinitionFile { text: format!("{head}{insert}{tail}"), ..file }]).err().unwrap_or_default();
            for problem in problems {
                prop_assert!(problem.line >= 1 && problem.column >= 1);
                render(&[problem], Colour::Plain);
            }
        }
    }
}

//! The commands that end by themselves, as a shell sees them.

use crate::support::service::program;

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn throughline(arguments: &[&str]) -> Ended {
    let output = program()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .expect("the program starts");
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_help_names_every_command() {
    let help = throughline(&["--help"]);
    assert_eq!(help.code, Some(0));
    insta::assert_snapshot!(help.out);
}

#[test]
fn p20_a_reader_that_has_read_enough_is_no_error() {
    for arguments in [
        &["completions", "bash"][..],
        &["schema"],
        &["man"],
        &["validate", "slo-definitions", "-o", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = program()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .stdout(writer)
            .output()
            .expect("the program starts");
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn p21_the_manual_has_every_command() {
    let manual = throughline(&["man"]);
    assert_eq!(manual.code, Some(0), "{}", manual.err);
    for text in [
        ".TH throughline 1",
        ".SH STATUS",
        ".SH NOTIFY-TEST",
        ".SH SILENCE ADD",
        "fail\\-on",
    ] {
        assert!(manual.out.contains(text), "no `{text}` in {}", manual.out);
    }
}

#[test]
fn the_help_of_serve_is_the_reference_of_all_settings() {
    let help = throughline(&["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    insta::assert_snapshot!(help.out);
}

#[test]
fn the_definitions_that_come_with_the_product_are_valid() {
    let validated = throughline(&["validate", "slo-definitions"]);
    assert_eq!(validated.code, Some(0), "{}", validated.out);
    insta::assert_snapshot!(validated.out);
}

#[test]
fn every_template_is_listed_and_valid_as_it_is_printed() {
    let listed = throughline(&["suggest", "--templates"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    insta::assert_snapshot!(listed.out);
    let names = listed.out.lines().skip(1);
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    let folder = tempfile::tempdir().unwrap();
    for name in &names {
        let printed = throughline(&["suggest", "--template", name]);
        assert_eq!(printed.code, Some(0), "{}", printed.err);
        let file = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, printed.out).unwrap();
        let validated = throughline(&["validate", file.to_str().unwrap()]);
        assert_eq!(validated.code, Some(0), "{}", validated.out);
    }
    // They do not collide with each other either.
    let all = throughline(&["validate", folder.path().to_str().unwrap()]);
    assert_eq!(all.code, Some(0), "{}", all.out);

    let unknown = throughline(&["suggest", "--template", "cron"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains(&names.join(", ")), "{}", unknown.err);
}

#[test]
fn a_mistake_is_shown_with_its_place_and_ends_with_1() {
    let file = "tests/fixtures/definitions/bad/objective.yaml";
    let validated = throughline(&["validate", file]);
    assert_eq!(validated.code, Some(1), "{}", validated.err);
    insta::assert_snapshot!(validated.out);
}

#[test]
fn a_folder_that_is_not_there_ends_with_3() {
    let validated = throughline(&["validate", "nowhere"]);
    assert_eq!(validated.code, Some(3));
    insta::assert_snapshot!(validated.err);
}

#[test]
fn a_flag_that_is_not_there_ends_with_2_and_a_suggestion() {
    let ended = throughline(&["serve", "--data-dirr", "x"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("'--data-dir'"), "{}", ended.err);
}

#[test]
fn a_setting_that_makes_no_sense_ends_with_2_and_says_why() {
    let ended = throughline(&["serve", "--catch-up", "5 lightyears"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("write `30s`, `5m` or `7d`"),
        "{}",
        ended.err
    );
}

#[test]
fn the_schema_is_one_of_json() {
    let schema = throughline(&["schema"]);
    assert_eq!(schema.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert!(schema["$schema"].is_string(), "{schema}");
}

#[test]
fn definitions_are_converted_from_openslo_and_back_and_what_is_lost_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let theirs = "tests/fixtures/openslo/spans.yaml";
    let in_place = throughline(&["validate", theirs]);
    assert_eq!(in_place.code, Some(0), "{}", in_place.out);
    let ours = throughline(&["convert", "--from", "openslo", theirs]);
    assert_eq!(ours.code, Some(1), "something is listed: {}", ours.err);
    assert!(
        ours.err.contains("a short window of 5m is added"),
        "{}",
        ours.err
    );
    assert!(ours.err.contains("spans.yaml:"), "{}", ours.err);
    let file = written("ours.yaml", &ours.out);
    let valid = throughline(&["validate", &file]);
    assert_eq!(valid.code, Some(0), "{}", valid.out);
    let back = throughline(&["convert", "--to", "openslo", &file]);
    assert_eq!(
        (back.code, back.err.as_str()),
        (Some(0), ""),
        "{}",
        back.out
    );
    let again = written("again.yaml", &back.out);
    let again = throughline(&["convert", "--from", "openslo", &again]);
    assert_eq!(
        (again.code, again.err.as_str()),
        (Some(0), ""),
        "{}",
        again.out
    );
    let missing = throughline(&["convert", "--from", "openslo", "not/there"]);
    assert_eq!(missing.code, Some(3), "{}", missing.err);
    let neither = throughline(&["convert", theirs]);
    assert_eq!(neither.code, Some(2), "{}", neither.err);
}

//! Tests of the settings file with the commands of the program.

use super::*;

fn read(text: &str) -> Result<FileSettings, String> {
    let file = DefinitionFile {
        path: "throughline.toml".to_owned(),
        text: text.to_owned(),
    };
    FileSettings::read(&file, &Cli::command()).map_err(|problems| render(&problems, Colour::Plain))
}

/// Returns the arguments that a file adds to `given`.
fn added(text: &str, given: &[&str]) -> Vec<String> {
    let settings = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    let mut program = Cli::command();
    program.build();
    let matches = program.clone().get_matches_from(given);
    let (name, matches) = matches.subcommand().unwrap();
    let command = program.find_subcommand(name).unwrap();
    let arguments = settings.arguments(command, matches).into_iter();
    arguments
        .map(|argument| argument.into_string().unwrap())
        .collect()
}

#[test]
fn a_setting_of_the_file_is_an_argument_unless_a_flag_gives_it() {
    let text = "horizon = '3d'\nmax-connections = 100\nopen-metrics = true\nrequire-user = false\n\
                target-ports = [443, 8443]\nlog = 'warn'\n";
    let expected = [
        "--horizon=3d",
        "--log=warn",
        "--max-connections=100",
        "--open-metrics",
        "--target-ports=443",
        "--target-ports=8443",
    ];
    assert_eq!(added(text, &["throughline", "serve"]), expected);
    let given = [
        "throughline",
        "--log",
        "info",
        "serve",
        "--horizon",
        "1d",
        "--target-ports=80",
        "--open-metrics",
    ];
    assert_eq!(added(text, &given), ["--max-connections=100"]);
}

#[test]
fn a_command_takes_only_its_own_settings() {
    let text = "server = 'http://slo:8080'\nhorizon = '3d'\n";
    let status = ["throughline", "status"];
    assert_eq!(added(text, &status), ["--server=http://slo:8080"]);
    assert_eq!(added(text, &["throughline", "serve"]), ["--horizon=3d"]);
}

#[test]
fn every_mistake_of_a_file_is_shown_at_once_with_its_place_and_advice() {
    let text = "\
horizons = '7d'
colour = 'red'
horizon = 7
max-connections = 'many'
evaluation-interval = '1ms'
auth = 'nobody'
listen = [ '0.0.0.0:8080' ]
target-ports = []
require-user = 'yes'
catch-up = true

[receiver]
max-request-mib = 12
";
    insta::assert_snapshot!(read(text).unwrap_err());
}

#[test]
fn a_text_that_is_not_toml_is_shown_with_its_place() {
    insta::assert_snapshot!(read("horizon = 7d\nlisten '0.0.0.0:8080'\n").unwrap_err());
}

#[test]
fn a_secret_is_refused_and_not_shown() {
    for text in [
        "token = 'hunter2'",
        "header = ['X-Api-Key: hunter2']",
        "database-url = 'postgres://slo:hunter2@db/slo'",
        "database-url = 'postgres://db/slo?user=slo&password=hunter2'",
        "database_url = 'postgres://slo:hunter2@db/slo'",
        "token = hunter2",
        "database-url = 'postgres://slo:hunter2@db/slo",
    ] {
        let problems = read(text).unwrap_err();
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let advice = read("token = 'hunter2'").unwrap_err();
    assert!(advice.contains("set THROUGHLINE_TOKEN instead"), "{advice}");
    read("database-url = 'postgres://slo@db:5432/slo'").unwrap();
}

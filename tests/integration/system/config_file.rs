//! Settings from a file, as the program reads them.

use std::fs;

use serde_json::Value;

use crate::support::{
    database::TestDatabase,
    service::{Site, program},
    workload::ORDERS,
};

#[tokio::test]
async fn a_flag_goes_before_a_variable_and_a_variable_before_the_file() {
    let database = TestDatabase::create().await;
    // The site gives `--listen` as a flag.
    let site = Site::on(&database, ORDERS)
        .settings("listen = '127.0.0.1:1'\nlog-format = 'json'\nlog = 'error'\n")
        .variable("THROUGHLINE_LOG", "info");
    let service = site.start().await;
    let said = service.said();
    let ready = said.lines().find(|line| line.contains("ready: "));
    let ready = ready.unwrap_or_else(|| panic!("{said}"));
    serde_json::from_str::<Value>(ready).expect("the format of the file");
    assert!(ready.contains(&site.pages_address()), "{ready}");
}

#[test]
fn a_file_with_mistakes_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    fs::write(&path, "horizons = '7d'\ncatch-up = 'soon'\n").unwrap();
    let run = |file: &str| {
        let mut command = program();
        command.args(["serve", "--config", file]);
        let output = command.output().expect("the program starts");
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), err)
    };
    let (code, err) = run(path.to_str().unwrap());
    assert_eq!(code, Some(2), "{err}");
    for part in [
        "`horizons` is no setting",
        "did you mean `horizon`?",
        "`catch-up`: ",
        "settings.toml:2:12",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let (code, err) = run("not/there.toml");
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.starts_with("error: cannot read the settings file `not/there.toml`: "),
        "{err}"
    );
}

#[test]
fn what_one_setting_needs_may_stand_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    fs::write(&path, "tls-cert = 'pages.pem'\n").unwrap();
    let mut command = program();
    command.env("THROUGHLINE_CONFIG", &path).arg("serve");
    let output = command.output().expect("the program starts");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("--tls-key <FILE>"), "{err}");
}

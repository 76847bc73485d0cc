//! The dashboard in `.deploy` is one by Grafana's own types.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::prometheus::dashboard;
use crate::support::installs;

/// What Grafana's types have against a dashboard, in lines.
fn problems_of(dashboard: &Value) -> Vec<String> {
    let mut check = Command::new("node")
        .arg(installs::node("grafana").join("check.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut input = check.stdin.take().unwrap();
    write!(input, "{dashboard}").unwrap();
    drop(input);
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn the_types_of_grafana_accept_the_dashboard() {
    assert_eq!(problems_of(&dashboard()), [""; 0]);
}

/// Of every kind of panel that the dashboard has, something that its type forbids.
#[test]
fn the_types_of_grafana_are_those_of_each_panel() {
    let mut dashboard = dashboard();
    dashboard["templating"]["list"][1]["refresh"] = json!(9);
    let mut expected = vec!["dashboard/templating/list/1/refresh: must be equal to".to_owned()];
    for (kind, place, wrong, problem) in [
        ("row", "/panels", json!(null), "must be array"),
        (
            "stat",
            "/options/colorMode",
            json!("red"),
            "must be equal to",
        ),
        ("table", "/options/cellHeight", json!(3), "must be string"),
        (
            "bargauge",
            "/options/orientation",
            json!("up"),
            "must be equal to",
        ),
        (
            "state-timeline",
            "/options/rowHeight",
            json!("1"),
            "must be number",
        ),
        (
            "timeseries",
            "/targets/0/format",
            json!("graph"),
            "must be equal to",
        ),
    ] {
        let mut panels = dashboard["panels"].as_array_mut().unwrap().iter_mut();
        let panel = panels.find(|panel| panel["type"] == kind).expect(kind);
        let (parent, key) = place.rsplit_once('/').unwrap();
        panel.pointer_mut(parent).unwrap()[key] = wrong;
        expected.push(format!("panel {}{place}: {problem}", panel["id"]));
    }
    let problems = problems_of(&dashboard);
    for start in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(&start)),
            "no `{start}` in {problems:#?}"
        );
    }
}

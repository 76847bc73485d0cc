//! Alertmanager's API v2, as its own command line and karma use it.

use std::process::{Command, Output};

use regex::Regex;
use serde_json::{Value, json};
use throughline::{clock::Clock, web};

use super::{
    client::{delete, get, post_json},
    fixture::{self, Shop},
};

/// The same with the real time, since `amtool` compares times with its own clock.
fn by_the_real_clock(mut shop: Shop) -> Shop {
    shop.state.clock = Clock::System;
    shop.router = web::router(shop.state.clone());
    shop
}

/// The commands of one `amtool`, and the pages that it asks.
struct Amtool {
    url: String,
    home: tempfile::TempDir,
}

impl Amtool {
    async fn of(shop: &Shop) -> Self {
        Self {
            url: shop.serve().await,
            home: tempfile::tempdir().unwrap(),
        }
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("amtool");
        command
            .env("HOME", self.home.path())
            .arg(format!("--alertmanager.url={}", self.url))
            .arg("--no-version-check")
            .args(arguments);
        let running = tokio::task::spawn_blocking(move || command.output());
        let output = running.await.unwrap();
        output.expect("`amtool` is missing: `.dev/setup tests` installs it")
    }

    /// What it prints.
    async fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output=json"]].concat();
        serde_json::from_str(&self.run(&arguments).await).unwrap()
    }

    /// What it prints of an error.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The names of a list of alerts, sorted.
fn names(alerts: &Value) -> Vec<String> {
    let alerts = alerts.as_array().unwrap().iter();
    let mut names: Vec<String> = alerts
        .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn amtool_adds_finds_changes_and_expires_a_silence() {
    let shop = by_the_real_clock(fixture::four_weeks().await);
    let amtool = Amtool::of(&shop).await;
    let added = amtool
        .run(&[
            "silence",
            "add",
            "orders-on-time",
            "severity=~page|ticket",
            "team!=nobody",
            "--author=kim",
            "--comment=queue upgrade",
            "--duration=2h",
        ])
        .await;
    let id = added.trim();
    let path = format!("/api/v1/silences/{id}");
    let ours = get(&shop.router, &path).await.json();
    assert_eq!(ours["state"], "active");
    assert_eq!(ours["created_by"], "kim");
    let matchers = [
        "alertname=\"orders-on-time\"",
        "severity=~\"page|ticket\"",
        "team!=\"nobody\"",
    ];
    assert_eq!(ours["matchers"], json!(matchers));

    let found = amtool.json(&["silence", "query"]).await;
    assert_eq!(found[0]["id"], id);
    assert_eq!(found[0]["comment"], "queue upgrade");
    assert_eq!(found[0]["matchers"][2]["isEqual"], false);
    let by_value = amtool.json(&["silence", "query", "orders-on-time"]).await;
    assert_eq!(by_value, found);
    let other = amtool.json(&["silence", "query", "alertname=other"]).await;
    assert_eq!(other, json!([]));

    let changed = amtool
        .json(&["silence", "update", "--duration=4h", id])
        .await;
    let new = changed[0]["id"].as_str().unwrap();
    assert_ne!(new, id, "a silence never changes");
    assert_eq!(get(&shop.router, &path).await.json()["state"], "expired");

    assert_eq!(amtool.run(&["silence", "expire", new]).await, "");
    assert_eq!(amtool.json(&["silence", "query"]).await, json!([]));
    let expired = amtool.json(&["silence", "query", "--expired"]).await;
    assert_eq!(expired.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn amtool_shows_what_fires_and_what_a_silence_mutes() {
    let shop = by_the_real_clock(fixture::four_weeks().await);
    let amtool = Amtool::of(&shop).await;
    let firing = amtool.json(&["alert", "query"]).await;
    let orders: Vec<&Value> = firing
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| alert["labels"]["alertname"] == "orders-on-time")
        .collect();
    let page = orders
        .iter()
        .find(|alert| alert["labels"]["severity"] == "page");
    let page = page.expect("the page fires");
    assert_eq!(page["labels"]["slo"], "orders-on-time");
    assert_eq!(page["status"]["state"], "active");
    let api = get(&shop.router, "/api/v1/alerts").await.json();
    let mut expected: Vec<&str> = api["firing"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| alert["state"] != "pending")
        .map(|alert| alert["slo"].as_str().unwrap())
        .collect();
    expected.sort_unstable();
    let all = ["alert", "query", "--silenced", "--inhibited", "--active"];
    assert_eq!(names(&amtool.json(&all).await), expected);

    let silence = ["silence", "add", "orders-on-time", "--comment=upgrade"];
    let id = amtool.run(&silence).await.trim().to_owned();
    let active = names(&amtool.json(&["alert", "query"]).await);
    assert!(!active.contains(&"orders-on-time".to_owned()), "{active:?}");
    let silenced = amtool
        .json(&["alert", "query", "--silenced", "severity=page"])
        .await;
    assert_eq!(silenced[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(silenced[0]["status"]["state"], "suppressed");

    let config = amtool.run(&["config", "show"]).await;
    assert!(
        config.contains("no configuration of Alertmanager"),
        "{config}"
    );
    let cluster = amtool.run(&["cluster", "show"]).await;
    assert!(cluster.contains("disabled"), "{cluster}");
}

#[tokio::test]
async fn what_a_silence_cannot_be_is_refused_in_words_that_amtool_prints() {
    let shop = by_the_real_clock(fixture::empty(fixture::catalog()).await);
    let amtool = Amtool::of(&shop).await;
    let everything = ["silence", "add", "slo=~.*", "--comment=quiet"];
    let said = amtool.refused(&everything).await;
    assert!(said.contains("these matchers match every alert"), "{said}");
    let long = ["silence", "add", "slo=a", "--comment=x", "--duration=40d"];
    let said = amtool.refused(&long).await;
    assert!(said.contains("more than 30 d: make it shorter"), "{said}");
    let said = amtool.refused(&["silence", "expire", "1-2-3"]).await;
    assert!(!said.is_empty());

    let weekly = json!({
        "matchers": ["slo=orders"], "duration": "1h", "reason": "upgrade",
        "repeat": { "rule": "FREQ=WEEKLY;COUNT=4" },
    });
    let weekly = post_json(&shop.router, "/api/v1/silences", &weekly)
        .await
        .json();
    let id = weekly["id"].as_str().unwrap();
    let shown = amtool.json(&["silence", "query"]).await;
    assert_eq!(
        shown[0]["comment"],
        "upgrade (repeats: FREQ=WEEKLY;COUNT=4)"
    );
    let said = amtool
        .refused(&["silence", "update", "--duration=2h", id])
        .await;
    assert!(said.contains("the silence repeats"), "{said}");
    let kept = get(&shop.router, &format!("/api/v1/silences/{id}")).await;
    assert_ne!(kept.json()["state"], "expired");
}

#[tokio::test]
async fn an_error_is_a_text_with_a_status_that_clients_of_alertmanager_know() {
    let shop = fixture::empty(fixture::catalog()).await;
    let body = |matcher: Value| {
        json!({
            "matchers": [matcher], "comment": "upgrade", "createdBy": "kim",
            "startsAt": "2026-11-22T10:00:00Z", "endsAt": "2026-11-22T11:00:00Z",
        })
    };
    for (matcher, detail) in [
        (
            json!({ "name": "", "value": "a", "isRegex": false }),
            "is no matcher",
        ),
        (
            json!({ "name": "a", "value": "(", "isRegex": true }),
            "no regular expression",
        ),
        (
            json!({ "name": "a", "value": "b" }),
            "missing field `isRegex`",
        ),
        (
            json!({ "name": "a", "value": "b", "isRegex": false, "isEqul": false }),
            "unknown field `isEqul`",
        ),
        (
            json!({ "name": "a", "value": "b", "isRegex": false, "isEqual": false }),
            "match every alert",
        ),
    ] {
        let answer = post_json(&shop.router, "/api/v2/silences", &body(matcher)).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let said = answer.json();
        assert!(said.as_str().unwrap().contains(detail), "{said}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let id = "00000000-0000-0000-0000-000000000001";
    let path = format!("/api/v2/silence/{id}");
    for answer in [
        get(&shop.router, &path).await,
        delete(&shop.router, &path).await,
    ] {
        assert_eq!(answer.status, 404);
        assert!(answer.json().is_string());
    }
    let mut unknown = body(json!({ "name": "a", "value": "b", "isRegex": false }));
    unknown["id"] = json!(id);
    let answer = post_json(&shop.router, "/api/v2/silences", &unknown).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    for wrong in ["filter=orders", "receiver=(", "active=maybe"] {
        let answer = get(&shop.router, &format!("/api/v2/alerts?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
}

#[tokio::test]
async fn alerts_are_grouped_by_target_and_slo_as_karma_reads_them() {
    let shop = fixture::four_weeks().await;
    let groups = get(&shop.router, "/api/v2/alerts/groups").await.json();
    let groups = groups.as_array().unwrap();
    let orders: Vec<&Value> = groups
        .iter()
        .filter(|group| group["labels"]["alertname"] == "orders-on-time")
        .collect();
    assert!(!orders.is_empty(), "{groups:?}");
    let fingerprint = Regex::new("^[0-9a-f]{16}$").unwrap();
    for group in groups {
        for alert in group["alerts"].as_array().unwrap() {
            assert!(fingerprint.is_match(alert["fingerprint"].as_str().unwrap()));
            assert_eq!(alert["labels"]["alertname"], group["labels"]["alertname"]);
            assert!(alert["annotations"]["summary"].is_string());
            assert!(
                alert["receivers"]
                    .as_array()
                    .unwrap()
                    .contains(&group["receiver"])
            );
        }
    }
    let receiver = orders[0]["receiver"]["name"].as_str().unwrap();
    let path = format!("/api/v2/alerts/groups?receiver={receiver}");
    let of_one = get(&shop.router, &path).await.json();
    let of_one = of_one.as_array().unwrap();
    assert!(
        of_one
            .iter()
            .all(|group| group["receiver"]["name"] == receiver)
    );
    let none = get(&shop.router, "/api/v2/alerts/groups?receiver=no").await;
    assert_eq!(none.json(), json!([]), "the whole name is meant");
}

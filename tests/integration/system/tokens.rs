//! Tokens of a running service, as a shell makes them.

use std::process::Output;

use regex::Regex;
use sqlx::ConnectOptions as _;

use crate::support::{
    database::TestDatabase,
    service::{Service, Site, program},
    workload::ORDERS,
};

pub(super) fn token(database: &TestDatabase, arguments: &[&str]) -> Output {
    program()
        .env("DATABASE_URL", database.options.to_url_lossy().as_str())
        .arg("token")
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What it prints, if it works.
pub(super) fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn status(service: &Service, token: &str) -> u16 {
    let url = format!("{}/api/v1/slos", service.api.pages);
    let asking = service.api.client.get(url).bearer_auth(token);
    asking.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_first_token_is_printed_once_and_others_are_made_and_revoked() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS)
        .flag("--auth", "token")
        .variable("THROUGHLINE_OPEN_METRICS", "true");
    let service = site.start().await;
    let pattern = Regex::new("thl_[A-Za-z0-9_-]{43}").unwrap();
    let said = service.said();
    let first = pattern.find(&said).expect("the log has the token").as_str();
    assert_eq!(status(&service, first).await, 200);
    assert_eq!(service.api.status("/api/v1/slos").await, Some(401));
    let asking = service
        .api
        .client
        .get(format!("{}/api/v1/audit", service.api.pages));
    let audit = asking.bearer_auth(first).send().await.unwrap();
    let audit: serde_json::Value = serde_json::from_str(&audit.text().await.unwrap()).unwrap();
    let made = &audit["entries"][0];
    assert_eq!(made["action"], "token.create", "{audit}");
    assert_eq!(made["subject"], "first-run", "{audit}");
    service.kill();

    let service = site.start().await;
    let times = pattern.find_iter(&service.said()).count();
    assert_eq!(times, 1, "it is made once: {}", service.said());

    let made = printed(token(&database, &["create", "ci", "--role", "viewer"]));
    assert!(pattern.is_match(&made), "{made}");
    service.api.has_ticked("tokens").await;
    assert_eq!(status(&service, &made).await, 200);
    let again = token(&database, &["create", "ci", "--role", "viewer"]);
    assert!(!again.status.success());
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("choose another name"), "{error}");

    let listed = printed(token(&database, &["list"]));
    assert!(listed.contains("ci         viewer  valid"), "{listed}");
    assert!(listed.contains("first-run  admin   valid"), "{listed}");
    assert!(!listed.contains("thl_"), "{listed}");

    printed(token(&database, &["revoke", "ci"]));
    service.api.has_ticked("tokens").await;
    assert_eq!(status(&service, &made).await, 401);
    let gone = token(&database, &["revoke", "ci"]);
    assert!(!gone.status.success());
}

#[tokio::test]
async fn tokens_are_made_beside_an_embedded_postgres() {
    let site = Site::embedded(ORDERS).flag("--auth", "token");
    let data = site.data().display().to_string();
    let before = program()
        .args(["token", "list", "--data-dir", &data])
        .output()
        .unwrap();
    let error = String::from_utf8(before.stderr).unwrap();
    assert!(error.contains("start `throughline serve` first"), "{error}");
    let service = site.start().await;
    let create = [
        "token",
        "create",
        "gateway",
        "--sender",
        "--service",
        "shop",
        "--data-dir",
    ];
    let made = program().args(create).arg(&data).output().unwrap();
    assert!(printed(made).starts_with("thl_"));
    let listed = program()
        .args(["token", "list", "--data-dir", &data])
        .output()
        .unwrap();
    let listed = printed(listed);
    assert!(
        listed.contains("gateway    sender of shop  valid"),
        "{listed}"
    );
    drop(service);
}

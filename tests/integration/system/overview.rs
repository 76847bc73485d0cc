//! Two installations that share the SLOs of one folder, and an overview over them: real programs.

use std::{
    io::Write as _,
    process::{Child, Stdio},
};

use regex::Regex;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::definitions::two_teams;
use crate::support::{
    api::{Api, client, until},
    database::TestDatabase,
    service::{Service, Site, free_port, program},
    workload::{Delivery, Workload},
};

/// Killed when it is dropped.
struct Overview {
    child: Child,
    api: Api,
}

impl Drop for Overview {
    fn drop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be collected");
    }
}

async fn overview(installations: &[(&str, &Service)], tokens: &str) -> Overview {
    let listen = format!("127.0.0.1:{}", free_port());
    let named = installations.iter();
    let named = named.map(|(name, service)| format!("{name}={}", service.api.pages));
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(tokens.as_bytes()).unwrap();
    let child = program()
        .args(["overview", "--listen", &listen])
        .args(["--installations", &named.collect::<Vec<_>>().join(",")])
        .arg("--installation-tokens-file")
        .arg(file.path())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let pages = format!("http://{listen}");
    let (grpc, http) = (pages.clone(), pages.clone());
    let api = Api {
        client: client(),
        grpc,
        http,
        pages,
    };
    until("the overview", async || api.status("/healthz").await).await;
    Overview { child, api }
}

fn names(view: &Value) -> Vec<String> {
    let slos = view["slos"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    slos.map(|slo| format!("{} {}", text(&slo["installation"]), text(&slo["name"])))
        .collect()
}

#[tokio::test]
async fn two_installations_judge_a_part_of_all_slos_each_and_an_overview_shows_both() {
    let databases = [TestDatabase::create().await, TestDatabase::create().await];
    let with =
        |database, selector| Site::on(database, &two_teams()).flag("--slo-selector", selector);
    let checkout = with(&databases[0], "team=checkout");
    let others = with(&databases[1], "team!=checkout").flag("--auth", "token");
    let (one, other) = tokio::join!(checkout.start(), others.start());
    // Both read the same spans, and each SLO is judged in one database alone.
    let workload = Workload::good(50, 1);
    for service in [&one, &other] {
        Delivery::start(&workload, &[&service.api.http])
            .finish()
            .await;
    }
    one.api.counts_become("orders", workload.expected).await;
    assert_eq!(one.api.status("/api/v1/slos/refunds").await, Some(404));

    let said = other.said();
    let token = Regex::new("thl_[A-Za-z0-9_-]{43}").unwrap();
    let token = token.find(&said).expect("the log has the token").as_str();
    let installations = [("checkout", &one), ("others", &other)];
    let both = overview(&installations, &format!("# tokens\nothers={token}\n")).await;
    let view = both.api.json("/api/v1/slos").await;
    let mut found = names(&view);
    found.sort();
    assert_eq!(found, ["checkout orders", "others refunds"], "{view}");
    until("the workflows of both", async || {
        let found = both.api.json("/api/v1/workflows?outcome=good").await;
        let found = found["workflows"].as_array().unwrap().clone();
        let of = |slo: &str| found.iter().any(|one| one["slo"] == slo);
        (of("orders") && of("refunds")).then_some(())
    })
    .await;

    other.kill();
    let view = both.api.json("/api/v1/slos").await;
    assert_eq!(names(&view), ["checkout orders"]);
    let problem = view["installations"][1]["problem"].to_string();
    assert!(problem.contains("it cannot be reached"), "{problem}");

    let twice = overview(&[("a", &one), ("b", &one)], "").await;
    let page = twice.api.text("/").await;
    assert!(page.contains("is judged by 2 installations"), "{page}");
    assert!(page.contains("is judged by no installation"), "{page}");
}

#[test]
fn settings_that_do_not_fit_together_are_refused_at_the_start() {
    let started = |installations: &str, tokens: &str| {
        let output = program()
            .args([
                "overview",
                "--listen",
                "127.0.0.1:0",
                "--installations",
                installations,
            ])
            .env("THROUGHLINE_INSTALLATION_TOKENS", tokens)
            .output()
            .expect("the program starts");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let text = started("a=http://one,a=http://two", "a=thl_x");
    assert!(text.contains("two installations are named `a`"), "{text}");
    let text = started("a=http://one", "b=thl_secret");
    assert!(
        text.contains("a token for `b`") && !text.contains("thl_secret"),
        "{text}"
    );
    let text = started("https://me:thl_secret@one", "a=thl_x");
    assert!(
        text.contains("an address has no user, no password and no query"),
        "{text}"
    );
}

#[test]
fn an_overview_that_others_reach_is_told_who_may_read() {
    let output = program()
        .args(["overview", "--listen", "0.0.0.0:0"])
        .args(["--installations", "a=http://one"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("Set `--auth proxy`"), "{text}");
}

#[test]
fn who_believes_a_proxy_beyond_loopback_is_told_to_name_it() {
    let database = ["--database-url", "postgres://127.0.0.1:1/none"];
    for arguments in [
        &["overview", "--installations", "a=http://one"][..],
        &["serve", database[0], database[1]],
    ] {
        let output = program()
            .args(arguments)
            .args(["--listen", "0.0.0.0:0", "--auth", "proxy"])
            .output()
            .expect("the program starts");
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("set `--trusted-proxies`"), "{text}");
    }
}

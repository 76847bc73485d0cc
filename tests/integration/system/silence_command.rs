//! `throughline silence` against a running service, as a shell sees it.

use serde_json::Value;

use crate::support::{
    database::TestDatabase,
    service::{Service, Site, program},
    workload::ORDERS,
};

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn silence(service: &Service, arguments: &[&str]) -> Ended {
    let output = program()
        .env("THROUGHLINE_SERVER", &service.api.pages)
        .env("USER", "kim")
        .arg("silence")
        .args(arguments)
        .output()
        .expect("the program starts");
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn alerts_are_silenced_and_told_of_again_from_a_shell() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;

    let seen = silence(&service, &["preview", "orders"]);
    assert_eq!(seen.code, Some(0), "{}", seen.err);
    assert!(
        seen.out.contains("orders  –      page      inactive"),
        "{}",
        seen.out
    );

    let add = [
        "add",
        "orders",
        "severity=page",
        "--duration",
        "2h",
        "--comment",
        "upgrade",
    ];
    let added = silence(&service, &add);
    assert_eq!(added.code, Some(0), "{}", added.err);
    let id = added.out.trim();

    let listed = silence(&service, &["list"]);
    for text in [
        id,
        "active",
        "slo=\"orders\" severity=\"page\"",
        "kim",
        "upgrade",
    ] {
        assert!(listed.out.contains(text), "no `{text}` in {}", listed.out);
    }
    assert_eq!(silence(&service, &["list", "--quiet"]).out.trim(), id);
    let json: Value =
        serde_json::from_str(&silence(&service, &["list", "-o", "json"]).out).unwrap();
    assert_eq!(json["silences"][0]["id"], id);

    let ended = silence(&service, &["expire", id]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), ""),
        "{}",
        ended.err
    );
    assert_eq!(
        silence(&service, &["list", "--expired", "-q"]).out.trim(),
        id
    );
    assert_eq!(
        silence(&service, &["list", "--state", "active", "-q"]).out,
        ""
    );
}

#[tokio::test]
async fn what_is_refused_is_said_in_the_words_of_the_service_and_ends_with_1() {
    let database = TestDatabase::create().await;
    let service = Site::on(&database, ORDERS).start().await;
    let refused = silence(&service, &["add", "orders", "-d", "999w", "-c", "for ever"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.err.contains("in all, more than 30 d")
            && refused.err.contains("= help: make it shorter"),
        "{}",
        refused.err
    );
    let unsaid = silence(&service, &["add", "orders", "-d", "2h"]);
    assert_eq!(
        unsaid.code,
        Some(2),
        "a reason is asked for before anybody is asked"
    );
    let unknown = silence(&service, &["expire", "../slos"]);
    assert!(
        unknown.err.contains("there is no silence `---slos`"),
        "{}",
        unknown.err
    );
    let nobody = silence(&service, &["--server", "http://127.0.0.1:1", "list"]);
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
}

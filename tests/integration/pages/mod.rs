//! The pages and the API over a database with four weeks in it.

mod access;
mod accessibility;
mod alertmanager;
mod answers;
mod api;
mod browser;
mod busy;
mod calendar;
mod connections;
mod definitions;
mod deliveries;
mod discover;
mod docs;
mod events;
mod explain;
mod fixture;
mod groups;
mod history;
mod incidents;
mod installations;
mod many_bad;
mod moments;
mod openapi;
#[cfg(feature = "parquet")]
mod parquet;
mod parts;
mod people;
mod phone;
mod pictures;
mod reports;
mod silences;
mod stages;
mod status;
mod target_tests;
mod workflow;
mod writes;

use std::collections::BTreeSet;

use throughline::{
    domain::slo::{
        Catalog,
        definition::{DefinitionFile, load},
    },
    web::FIRST_SLO,
};

use client::{Answer, get, get_with};
use fixture::catalog;

use crate::support::{app::web as client, lists};

const PAGES: [&str; 31] = [
    "/",
    "/?at=2026-11-22T09:00Z&tz=Europe/Berlin",
    "/slos/orders-on-time?at=2026-11-22T09:00Z",
    "/time-zone",
    "/?q=team%3Dpayments",
    "/?state=Paging",
    "/alerts",
    "/definitions",
    "/docs/definitions",
    "/docs/selectors",
    "/docs/metrics",
    "/docs/settings",
    "/docs/api",
    "/deliveries",
    "/deliveries?state=failed",
    "/events",
    "/discover",
    "/slos/orders-on-time/history?by=week",
    "/reports/2026-11?team=payments",
    "/discover/templates/kafka",
    "/explain?slo=orders-on-time",
    "/slos/orders-on-time/durations",
    "/slos/orders-on-time/durations?range=28d",
    "/slos/orders-on-time/explain",
    "/slos/orders-on-time",
    "/slos/orders-on-time?range=1h",
    "/slos/refunds-settled?range=24h",
    "/slos/invoices-ready?range=7d",
    "/slos/webhooks-delivered",
    "/slos/fraud-checked?range=28d",
    "/slos/payouts-sent?range=nonsense",
];

#[tokio::test]
async fn every_page_is_small_strict_and_free_of_nonsense() {
    let shop = fixture::four_weeks().await;
    let assets = [
        asset(&shop.router, "css").await,
        asset(&shop.router, "js").await,
    ];
    let [style, script] = assets.map(|answer| client::gzipped(answer.body.as_bytes()));
    assert!(script <= 4 * 1024, "{script} bytes of script");
    let workflow = workflow::path();
    for path in PAGES.into_iter().chain([workflow.as_str()]) {
        let page = get(&shop.router, path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let size = client::gzipped(page.body.as_bytes()) + style + script;
        assert!(size <= 60 * 1024, "{path}: {size} bytes on the wire");
        assert!(
            page.body.len() <= 120 * 1024,
            "{path}: {} bytes",
            page.body.len()
        );
        has_nothing_inline(path, &page.body);
        for nonsense in [
            "aria-label=\"\"",
            "NaN",
            "inf ",
            "inf×",
            "infinity",
            "None",
            "Some(",
            "{{",
            "{%",
        ] {
            // Except in the name of a header.
            let said = page.body.replace("If-None-Match", "");
            assert!(!said.contains(nonsense), "{path} says `{nonsense}`");
        }
        assert!(
            page.body.contains("href=\"#main\""),
            "{path} has no skip link"
        );
    }
}

fn has_nothing_inline(path: &str, body: &str) {
    for forbidden in [
        r"\sstyle\s*=",
        r"<style",
        r"\son[a-z]+\s*=",
        r"javascript:",
        r#"(src|href)="(https?:)?//[^r]"#,
    ] {
        let found = regex::Regex::new(forbidden).unwrap().find(body);
        assert!(
            found.is_none(),
            "{path}: {:?}",
            found.map(|found| found.as_str())
        );
    }
    let scripts = regex::Regex::new("<script([^>]*)>").unwrap();
    for script in scripts.captures_iter(body) {
        let is_data = script[1].contains(r#"type="application/json""#);
        let is_file = script[1].contains(r#"src="/assets/"#);
        assert!(is_data || is_file, "{path}: {}", &script[0]);
    }
}

#[tokio::test]
async fn every_answer_carries_the_same_strict_headers() {
    let shop = fixture::four_weeks().await;
    for path in [
        "/",
        "/slos/orders-on-time",
        "/slos/none",
        "/api/v1/slos",
        "/healthz",
        "/metrics",
        "/assets/x",
    ] {
        let answer = get(&shop.router, path).await;
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            "same-origin",
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_link_leads_somewhere() {
    let shop = fixture::four_weeks().await;
    let mut known = BTreeSet::from(["/".to_owned()]);
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        let page = get(&shop.router, &path).await;
        assert_eq!(page.status, 200, "{path}");
        let is_page = page.header("content-type").starts_with("text/html");
        let found = if is_page {
            links(&path, &page.body)
        } else {
            Vec::new()
        };
        open.extend(
            found
                .into_iter()
                .filter(|target| known.insert(target.clone())),
        );
    }
    assert!(
        known.contains("/slos/orders-on-time?range=28d"),
        "{known:?}"
    );
    assert!(known.len() > 50, "{known:?}");
}

/// Addresses of this service that a page links to; anchors are checked on the spot.
fn links(path: &str, body: &str) -> Vec<String> {
    let link = regex::Regex::new(r#"(?:href|src)="([^"]+)""#).unwrap();
    let targets = link
        .captures_iter(body)
        .map(|found| found[1].replace("&amp;", "&"));
    let (anchors, targets): (Vec<_>, Vec<_>) = targets.partition(|target| target.starts_with('#'));
    for anchor in anchors {
        let id = format!("id=\"{}\"", &anchor[1..]);
        assert!(body.contains(&id), "{path} has no `{id}`");
    }
    let bare = path.split('?').next().unwrap_or(path);
    targets
        .into_iter()
        .map(|target| {
            if target.starts_with('?') {
                format!("{bare}{target}")
            } else {
                target
            }
        })
        .filter(|target| target.starts_with('/'))
        .collect()
}

#[tokio::test]
async fn an_unknown_slo_names_the_one_that_was_meant() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/slos/orders-in-time").await;
    assert_eq!(page.status, 404);
    assert!(
        page.body
            .contains(r#"<a href="/slos/orders-on-time">orders-on-time</a>"#),
        "{}",
        page.body
    );
    let json_view = get(&shop.router, "/api/v1/slos/orders-in-time").await;
    assert_eq!(json_view.status, 404);
    assert_eq!(json_view.json()["did_you_mean"], "orders-on-time");
    let hostile = get(&shop.router, "/slos/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(hostile.status, 404);
    assert!(!hostile.body.contains("<script>"), "{}", hostile.body);
    assert_eq!(get(&shop.router, "/nothing/here").await.status, 404);
}

#[tokio::test]
async fn an_slo_that_was_removed_is_told_apart_from_one_that_never_was() {
    let shop = fixture::four_weeks().await;
    let mut connection = shop.database.connect().await;
    sqlx::query("insert into slos (name, declared) values ('orders-by-fax', false)")
        .execute(&mut connection)
        .await
        .unwrap();
    let page = get(&shop.router, "/slos/orders-by-fax").await;
    assert_eq!(page.status, 404);
    for text in [
        "the SLO <code>orders-by-fax</code> is not declared any more",
        "declare it again under this name to continue its history",
    ] {
        assert!(page.body.contains(text), "{}", page.body);
    }
    let json_view = get(&shop.router, "/api/v1/slos/orders-by-fax").await;
    assert_eq!(json_view.status, 404);
    assert!(json_view.json()["did_you_mean"].is_null());
}

#[tokio::test]
async fn who_has_the_page_already_gets_it_again_only_when_it_changed() {
    let shop = fixture::four_weeks().await;
    for path in ["/", "/slos/orders-on-time", "/api/v1/slos", "/alerts"] {
        let first = get(&shop.router, path).await;
        let etag = first.header("etag");
        assert_eq!(first.header("cache-control"), "private, no-cache", "{path}");
        let again = get_with(&shop.router, path, &[("if-none-match", etag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), etag, "{path}");
    }
    let etag = get(&shop.router, "/").await.header("etag").to_owned();
    let of_api = get(&shop.router, "/api/v1/slos").await;
    shop.clock.advance(std::time::Duration::from_mins(1));
    let later = get_with(&shop.router, "/", &[("if-none-match", &etag)]).await;
    assert_eq!(later.status, 200, "a minute later the overview says so");
    for known in [of_api.header("etag"), "*", "\"old\", *"] {
        let later = get_with(&shop.router, "/api/v1/slos", &[("if-none-match", known)]).await;
        assert_eq!(
            later.status, 304,
            "nothing but the clock has changed: {known}"
        );
    }
}

#[tokio::test]
async fn assets_are_named_by_their_content_and_kept_for_ever() {
    let shop = fixture::four_weeks().await;
    for kind in ["css", "js"] {
        let answer = asset(&shop.router, kind).await;
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
    }
    assert_eq!(
        get(&shop.router, "/assets/0123456789abcdef.css")
            .await
            .status,
        404
    );
}

async fn asset(router: &axum::Router, kind: &str) -> Answer {
    let page = get(router, "/").await;
    let name = regex::Regex::new(&format!(r"/assets/[0-9a-f]{{16}}\.{kind}")).unwrap();
    let answer = get(router, name.find(&page.body).unwrap().as_str()).await;
    assert_eq!(answer.status, 200);
    answer
}

#[test]
fn the_first_slo_is_valid_as_it_stands() {
    let file = DefinitionFile {
        path: "first.yaml".to_owned(),
        text: FIRST_SLO.to_owned(),
    };
    let (catalog, _) = load(&[file]).unwrap();
    let names: Vec<String> = catalog.slos.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["orders-on-time"]);
}

#[tokio::test]
async fn the_first_visit_says_how_to_begin() {
    let shop = fixture::empty(Catalog::default()).await;
    let page = get(&shop.router, "/").await;
    for text in [
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
        "0.0.0.0:4317",
        "kind: SLO",
        "throughline validate slo-definitions",
    ] {
        assert!(page.body.contains(text), "no `{text}`");
    }
    let alerts = get(&shop.router, "/alerts").await;
    assert!(
        alerts.body.contains("No alert is firing."),
        "an empty page says what would be there"
    );
}

#[tokio::test]
async fn an_slo_that_was_never_evaluated_has_a_page_without_invented_numbers() {
    let shop = fixture::empty(catalog()).await;
    let page = get(&shop.router, "/slos/orders-on-time").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Not evaluated yet."));
    assert!(page.body.contains("No event in the last 28 d"));
    assert!(!page.body.contains("NaN"));
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    assert!(
        json_view["state"].is_null() && json_view["budget_remaining_ratio"].is_null(),
        "{json_view}"
    );
    assert_eq!(json_view["counts"]["total"], 0);
}

#[tokio::test]
async fn what_a_sender_wrote_is_text_and_never_markup() {
    let shop = fixture::four_weeks().await;
    let mut connection = shop.database.connect().await;
    sqlx::query("update workflows set label = '<img src=x onerror=alert(1)>', customer = '\"><script>alert(2)</script>'")
        .execute(&mut connection)
        .await
        .unwrap();
    lists::fill(&mut connection).await;
    let page = get(&shop.router, "/slos/orders-on-time").await;
    assert!(page.body.contains("&#60;img src=x") || page.body.contains("&lt;img src=x"));
    assert!(!page.body.contains("<img") && !page.body.contains("<script>alert"));
}

/// Browsers take `/customers/..` for `/`, also where the dots are encoded.
#[tokio::test]
async fn a_customer_whose_name_is_a_step_in_a_path_has_a_page() {
    let shop = fixture::four_weeks().await;
    let mut connection = shop.database.connect().await;
    sqlx::query("update workflows set customer = '..'")
        .execute(&mut connection)
        .await
        .unwrap();
    lists::fill(&mut connection).await;
    let page = get(&shop.router, "/slos/orders-on-time").await;
    assert!(page.body.contains(r#"href="/customers?name=..""#));
    let page = get(&shop.router, "/customers?name=..").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("<bdi>..</bdi></h1>"), "{}", page.body);
    let json_view = get(&shop.router, "/api/v1/customers?name=..").await.json();
    assert_eq!(json_view["customer"], "..", "{json_view}");
}

#[tokio::test]
async fn a_broken_file_is_told_on_the_overview_and_on_its_own_page() {
    let shop = fixture::four_weeks().await;
    shop.definitions.send_modify(|status| {
        let mut broken = (**status).clone();
        broken.problems = vec!["returns.yaml:14:5 unknown field `dead_line`".to_owned()];
        *status = broken.into();
    });
    for path in ["/", "/definitions"] {
        let page = get(&shop.router, path).await;
        assert!(
            page.body
                .contains("returns.yaml:14:5 unknown field <code>dead_line</code>"),
            "{path}"
        );
        assert!(
            page.body.contains("the last good version stays in force"),
            "{path}"
        );
    }
}

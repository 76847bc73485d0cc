//! Why a definition counts what it counts: the page, the API and the command say the same.

use std::fmt::Write as _;

use serde_json::json;
use throughline::domain::model::span::SpanKind;

use super::client::{post_json, post_with};
use crate::support::{
    app::{TestApp, minute_long},
    span::{SpanBuilder, span},
};

/// A shop whose publish is a client span, as some libraries have it, and whose mailer has names of its
/// own.
fn shop() -> Vec<SpanBuilder> {
    let publish = |trace| {
        let publish = span("orders publish").kind(SpanKind::Client).trace(trace);
        let publish = publish
            .at(0.0)
            .lasting(0.1)
            .resource("service.name", "shop-v2");
        let publish = publish.attribute("order_id", "o1").attribute("items", "42");
        publish.attribute("created", 1_795_341_597_000_i64)
    };
    let confirm = span("order-confirmed").consumer().trace(9).at(2.0);
    let confirm = confirm.lasting(0.1).resource("service.name", "mailer");
    let confirm = confirm
        .attribute("orderId", "o1")
        .attribute("customer", "acme");
    vec![publish(1), publish(2), publish(3), confirm]
}

fn definition(start: &str, finish: &str, rest: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: tried }}\nspec:\n  objective: 99%\n  \
         window: 30d\n  indicator:\n    workflow:\n      start: '{start}'\n      finish: '{finish}'\n      \
         within: 1m\n{rest}"
    )
}

const PUBLISH: &str = "{ name = \"orders publish\" }";
const CONFIRM: &str = "{ name = \"order-confirmed\" }";
const BY_TRACE: &str = "      correlate: [trace]\n";

/// Each typical mistake, and what is said of it.
fn mistakes() -> [(String, &'static str); 10] {
    let start = |selector: &str| definition(selector, CONFIRM, BY_TRACE);
    [
        (
            start(r#"{ name = "orders publish" && kind = producer }"#),
            "3 spans match but for `kind = producer`: `kind` is `client`",
        ),
        (
            start(r#"{ name = "orders publish" && resource.items = "42" }"#),
            "`resource.items` is absent, `span.items` is there",
        ),
        (
            start(r#"{ name = "orders publish" && span.order.id != nil }"#),
            "`span.order.id` is absent, `span.order_id` is there",
        ),
        (
            start(r#"{ name = "orders publish" && span.items >= 1 }"#),
            "`span.items` is the string `\"42\"`, compared with a number",
        ),
        (
            start(r#"{ resource.service.name = "shop" }"#),
            "`resource.service.name` is `\"shop-v2\"`",
        ),
        (
            definition(PUBLISH, r#"{ name = "order confirmed" }"#, BY_TRACE),
            "1 span matches but for `name = \"order confirmed\"`: `name` is `\"order-confirmed\"`",
        ),
        (
            definition(
                PUBLISH,
                CONFIRM,
                "      correlate: [trace]\n  customer: span.custumer\n",
            ),
            "no span that is selected has `span.custumer`, so no customer is known to be affected. \
             `span.customer` is there",
        ),
        (
            definition(
                PUBLISH,
                CONFIRM,
                "      correlate: [trace]\n      startedAt: { attribute: span.created, unit: s }\n",
            ),
            "With `unit: ms` it is.",
        ),
        (
            definition(PUBLISH, PUBLISH, BY_TRACE),
            "let `opens` select an early span",
        ),
        (
            definition(PUBLISH, CONFIRM, "      correlate: [span.order_id]\n"),
            "Start spans are identified by `span.order_id`, finish spans by nothing",
        ),
    ]
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        write!(encoded, "%{byte:02x}").unwrap();
    }
    encoded
}

/// The text of a page without its marks of code.
fn text_of(page: &str) -> String {
    let marks = [
        ("<code>", ""),
        ("</code>", ""),
        ("&quot;", "\""),
        ("&gt;", ">"),
    ];
    marks
        .into_iter()
        .fold(page.to_owned(), |text, (mark, with)| {
            text.replace(mark, with)
        })
}

#[tokio::test]
async fn each_of_ten_typical_mistakes_is_explained_by_page_api_and_command() {
    let app = TestApp::new()
        .slo(&minute_long("placed", "confirmed", "trace", ""))
        .await;
    let answer = app.send_over_http(&shop()).await;
    assert_eq!(answer.status(), 200);
    let folder = tempfile::tempdir().unwrap();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (yaml, expected) in mistakes() {
        let plain = expected.replace('`', "");
        let told = post_json(
            &app.router(),
            "/api/v1/explain",
            &json!({ "definition": yaml }),
        )
        .await;
        assert_eq!(told.status, 200, "{}", told.body);
        let told = told.json()["slos"].to_string().replace("\\\"", "\"");
        assert!(told.contains(expected), "{expected}: {told}");

        let body = format!("definition={}", percent_encoded(&yaml));
        let page = post_with(&app.router(), "/explain", &form, &body).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let page = text_of(&page.body);
        assert!(page.contains(&plain), "{plain}: {page}");

        let file = folder.path().join("tried.yaml");
        std::fs::write(&file, &yaml).unwrap();
        let file = file.to_str().unwrap();
        let printed = app.command(["explain", "--file", file]).await;
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[tokio::test]
async fn p12_an_slo_that_counts_nothing_says_at_once_what_is_nearest_to_its_selectors() {
    let yaml = definition(
        r#"{ name = "orders publish" && kind = producer }"#,
        r#"{ name = "order confirmed" }"#,
        BY_TRACE,
    );
    let app = TestApp::new().slo(&yaml).await;
    app.send_over_http(&shop()).await;
    let page = text_of(&app.page("/slos/tried").await.body);
    for sentence in [
        "No span of the last hour matches start; nearest: 3 spans match but for kind = producer: kind \
         is client.",
        "No span of the last hour matches finish; nearest: 1 span matches but for name = \"order \
         confirmed\": name is \"order-confirmed\".",
    ] {
        assert!(page.contains(sentence), "{sentence}: {page}");
    }
    let view = app.api("/slos/tried/explain").await;
    assert_eq!(view["spans_received"], 4);
    assert_eq!(view["slos"][0]["selectors"][0]["matched"], 0);
    assert_eq!(view["slos"][0]["funnel"][0]["step"], "started");
    let printed = app.command(["explain", "tried"]).await;
    assert!(
        printed.starts_with("tried, by 4 spans of the last hour"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_definition_that_is_not_valid_is_told_with_its_lines() {
    let app = TestApp::new()
        .slo(&minute_long("placed", "confirmed", "trace", ""))
        .await;
    let wrong = json!({ "definition": "apiVersion: throughline/v1\nkind: SLO\n" });
    let told = post_json(&app.router(), "/api/v1/explain", &wrong).await;
    assert_eq!(told.status, 422, "{}", told.body);
    assert!(
        told.body.contains("the definition is not valid: line 1"),
        "{}",
        told.body
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let page = post_with(&app.router(), "/explain", &form, "definition=nonsense").await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("nonsense</textarea>"), "{}", page.body);
    let form = app.page("/explain?slo=orders").await.body;
    assert!(form.contains("name: orders"), "{form}");
}

#[tokio::test]
async fn what_became_of_the_workflows_is_linked_with_a_search_for_each_outcome() {
    let yaml = definition(PUBLISH, CONFIRM, BY_TRACE);
    let app = TestApp::new().slo(&yaml).await;
    app.send_over_http(&shop()).await;
    app.tick_at(1).await;
    let view = app.api("/slos/tried/explain").await;
    let searches = &view["slos"][0]["funnel"][0]["searches"];
    let open = json!([{ "text": "In flight", "path": "/workflows?slo=tried&outcome=open" }]);
    assert_eq!(*searches, open);
    let page = app.page("/slos/tried/explain").await.body;
    assert!(
        page.contains("href=\"/workflows?slo=tried&#38;outcome=open\""),
        "{page}"
    );
}

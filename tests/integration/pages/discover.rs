//! First SLOs from real traffic: the page, the API and the command propose the same definitions.

use std::time::Duration;

use throughline::domain::{
    model::time::Timestamp,
    slo::{HiddenAttributes, TEMPLATES},
    workflow::shapes::SharedShapes,
};

use crate::support::{
    app::{TestApp, catalog},
    span::{SpanBuilder, span},
};

/// Orders that a shop sends and a warehouse packs, in traces of their own.
fn orders() -> Vec<SpanBuilder> {
    let orders = 1..=6_u64;
    let spans = orders.flat_map(|order| {
        let id = format!("o{order}");
        let message = |name: &str| {
            let message = span(name).attribute("messaging.destination.name", "orders");
            let message = message.attribute("order.id", id.as_str());
            message.attribute("customer.id", "acme")
        };
        let sent = message("orders publish").producer().service("shop");
        let sent = sent.trace(2 * order).at(0.0).lasting(0.1);
        let packed = message("orders process").consumer().service("warehouse");
        let packed = packed
            .trace(2 * order + 1)
            .after(&sent)
            .at(1.0)
            .lasting(3.0);
        [sent, packed]
    });
    spans.collect()
}

/// The orders of the minute before `now`, as a replica keeps them.
pub(super) fn sampled(now: Timestamp) -> SharedShapes {
    let shapes = SharedShapes::new();
    for order in orders() {
        let span = order.build(now - Duration::from_mins(1));
        let candidate = shapes.look(&span, &HiddenAttributes::default(), now);
        shapes.add(now, candidate.into_iter().collect());
    }
    shapes
}

#[tokio::test]
async fn a_service_without_definitions_proposes_what_its_spans_show() {
    let app = TestApp::new().await;
    let nothing = app.page("/discover").await;
    assert!(
        nothing.body.contains("No flow was found"),
        "{}",
        nothing.body
    );

    let answer = app.send_over_http(&orders()).await;
    assert_eq!(answer.status(), 200);
    let found = app.api("/discover").await;
    let flow = &found["flows"][0];
    assert_eq!(flow["name"], "orders-processed", "{found:#}");
    assert_eq!(flow["within_seconds"], 10.0);
    assert_eq!(flow["hops"][0]["from"], "shop");
    assert_eq!(flow["hops"][0]["to"], "warehouse");
    let definition = flow["definition"].as_str().unwrap();
    assert!(
        definition.contains("correlate: [span.order.id]"),
        "{definition}"
    );
    assert!(
        definition.contains("customer: span.customer.id"),
        "{definition}"
    );

    let page = app.page("/discover").await.body;
    for line in definition.lines() {
        let line = line
            .replace('&', "&#38;")
            .replace('"', "&#34;")
            .replace('<', "&#60;");
        let line = line.replace('\'', "&#39;");
        assert!(page.contains(&line), "{line}: {page}");
    }
    assert!(page.contains("<code>order.id</code> (6)"), "{page}");

    let printed = app.command(["suggest"]).await;
    assert_eq!(printed, definition);
    assert_eq!(catalog(&printed).slos.len(), 1);
}

#[tokio::test]
async fn templates_are_linked_and_served_as_they_are() {
    let app = TestApp::new().await;
    let page = app.page("/discover").await.body;
    let listed = app.api("/discover/templates").await;
    let listed = listed["templates"].as_array().unwrap();
    assert_eq!(listed.len(), TEMPLATES.len());
    for template in TEMPLATES {
        let address = format!("/discover/templates/{}", template.name);
        assert!(page.contains(&format!(r#"href="{address}""#)), "{page}");
        let served = app.api(&address).await;
        assert_eq!(served["definition"], template.text);
        assert!(listed.iter().any(|one| one["about"] == served["about"]));
        let page = app.page(&address).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("apiVersion: throughline/v1"));
    }
    let unknown = app.page("/discover/templates/cron").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.body.contains("there is no template `cron`"),
        "{}",
        unknown.body
    );
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_refused_by_its_name() {
    let app = TestApp::new().await;
    let refused = app.page("/api/v1/discover?service=shop").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("service"), "{}", refused.body);
}

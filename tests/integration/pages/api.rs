//! The rules of the API that hold for every route: parameters, lists in parts, and errors.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    client::{Answer, get, get_with, post_json, post_with},
    fixture,
};

fn assert_problem(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["status"]),
        (&json!("about:blank"), &json!(status))
    );
    let said = problem["detail"].as_str().unwrap();
    assert!(said.contains(detail), "`{said}` instead of `{detail}`");
    for field in ["title", "help", "request_id"] {
        assert!(!problem[field].as_str().unwrap().is_empty(), "{field}");
    }
}

#[tokio::test]
async fn a1_a_list_is_read_in_parts_and_each_slo_is_in_one() {
    let shop = fixture::four_weeks().await;
    let mut path = Some("/api/v1/slos?limit=3".to_owned());
    let (mut seen, mut parts) = (Vec::new(), 0);
    while let Some(address) = path {
        let answer = get(&shop.router, &address).await;
        let view = answer.json();
        let slos = view["slos"].as_array().unwrap();
        seen.extend(
            slos.iter()
                .map(|slo| slo["name"].as_str().unwrap().to_owned()),
        );
        parts += 1;
        let link = answer.header("link");
        let next = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""));
        assert_eq!(next.is_some(), view["next"].is_string(), "{link}");
        path = next.map(str::to_owned);
    }
    assert_eq!((seen.len(), parts), (7, 3));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7);
    let filtered = get(&shop.router, "/api/v1/slos?q=team%3Dpayments&limit=1").await;
    assert!(
        filtered.header("link").contains("q=team%3Dpayments"),
        "the search stays"
    );
}

#[tokio::test]
async fn a1_a_parameter_that_is_not_known_is_refused_by_name_on_every_route_of_the_api() {
    let shop = fixture::four_weeks().await;
    for path in [
        "slos",
        "slos/orders-on-time",
        "slos/orders-on-time/groups",
        "slos/orders-on-time/groups/7",
        "alerts",
        "incidents/00000000-0000-0000-0000-000000000001",
        "silences",
        "silences/00000000-0000-0000-0000-000000000001",
        "definitions",
        "docs/definitions",
        "deliveries",
        "deliveries/1",
        "events",
        "targets",
    ] {
        let answer = get(&shop.router, &format!("/api/v1/{path}?stat=paging")).await;
        assert_problem(&answer, 400, "there is no parameter `stat` here");
    }
    let mistyped = get(&shop.router, "/api/v1/slos?stat=paging").await;
    assert_problem(
        &mistyped,
        400,
        "known are q, state, label, at, after, limit",
    );
    for wrong in ["state=payging", "limit=0", "limit=many"] {
        let answer = get(&shop.router, &format!("/api/v1/slos?{wrong}")).await;
        let name = wrong.split('=').next().unwrap();
        assert_problem(&answer, 400, name);
    }
    let silences = get(&shop.router, "/api/v1/silences?state=over").await;
    assert_problem(&silences, 400, "`state` is one of active, pending, expired");
    let page = get(&shop.router, "/?utm_source=mail").await;
    assert_eq!(page.status, 200, "links carry marks of other systems");
}

#[tokio::test]
async fn a1_the_tiles_of_the_overview_keep_the_search() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/?q=orders%20on").await.body;
    assert!(
        page.contains("href=\"/?q=orders%20on&#38;state=Paging\""),
        "{page}"
    );
}

/// Addresses that the framework cannot read, and methods that there are not.
#[tokio::test]
async fn every_error_outside_the_api_is_a_page() {
    let shop = fixture::four_weeks().await;
    let router = &shop.router;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answers = [
        (get(router, "/deliveries/first").await, 400, "Cannot parse"),
        (
            get(router, "/events?service=%00").await,
            400,
            "NUL character",
        ),
        (
            get(router, "/silences/new?slo=a&slo=b").await,
            400,
            "duplicate field",
        ),
        (
            get(router, "/actions/shout/1").await,
            400,
            "unknown variant",
        ),
        (
            post_with(router, "/alerts", &form, "").await,
            405,
            "no such method",
        ),
        (
            get(router, "/nothing").await,
            404,
            "nothing at this address",
        ),
    ];
    for (answer, status, text) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert!(answer.body.contains(text), "{text}: {}", answer.body);
        assert!(answer.body.contains("<h1"), "{}", answer.body);
    }
    let ready = get(router, "/healthz").await;
    assert_eq!(ready.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a3_every_error_of_the_api_is_a_problem() {
    let shop = fixture::four_weeks().await;
    let router = &shop.router;
    assert_problem(
        &get(router, "/api/v1/nothing").await,
        404,
        "nothing at this address",
    );
    assert_problem(&get(router, "/api/v1/slos/refund").await, 404, "no SLO");
    assert_problem(
        &get(router, "/api/v1/deliveries/first").await,
        400,
        "Cannot parse",
    );
    let method = post_json(router, "/api/v1/slos", &json!({})).await;
    assert_problem(&method, 405, "there is no such method");
    assert_eq!(method.header("allow"), "GET,HEAD");
    let text = post_with(
        router,
        "/api/v1/silences",
        &[("content-type", "text/plain")],
        "x",
    )
    .await;
    assert_problem(&text, 415, "JSON only");
    let json = [("content-type", "application/json")];
    let broken = post_with(router, "/api/v1/silences", &json, "{").await;
    assert_problem(&broken, 400, "cannot be understood");
    let huge = " ".repeat(2 << 20);
    let huge = post_with(router, "/api/v1/silences", &json, &huge).await;
    assert_problem(&huge, 413, "larger than");
    let old = get_with(router, "/api/v1/slos", &[("host", "elsewhere.example")]).await;
    assert_problem(&old, 421, "is not allowed");
}

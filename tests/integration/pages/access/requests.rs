//! How many requests a token may send.

use std::time::Duration;

use axum::Router;
use throughline::{
    config::AuthMethod,
    domain::{access::AccessRole, slo::Catalog},
};

use super::{bearer, guarded};
use crate::pages::{
    client::{Answer, get_with, post_with},
    fixture::{self, Shop},
};

/// As many as a token may send within a minute.
const MANY: u32 = 6_000;

async fn pages() -> (Shop, Router) {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    (shop, router)
}

async fn read(router: &Router, role: AccessRole, path: &str) -> Answer {
    get_with(router, path, &[("authorization", &bearer(role))]).await
}

#[tokio::test]
async fn every_answer_to_a_token_says_how_many_requests_are_left() {
    let (shop, router) = pages().await;
    let first = read(&router, AccessRole::Viewer, "/api/v1/slos").await;
    let policy = "\"token-requests\";q=6000;w=60";
    assert_eq!(first.header("ratelimit-policy"), policy);
    shop.clock.advance(Duration::from_secs(20));
    let token = bearer(AccessRole::Viewer);
    let known = [
        ("authorization", token.as_str()),
        ("if-none-match", first.header("etag")),
    ];
    let mut answers = vec![first.header("ratelimit").to_owned()];
    let unchanged = get_with(&router, "/api/v1/slos", &known).await;
    assert_eq!(unchanged.status, 304, "{}", unchanged.body);
    answers.push(unchanged.header("ratelimit").to_owned());
    for (path, status) in [
        ("/api/v1/slos?limits=1", 400),
        ("/api/v1/audit", 403),
        ("/api/v1/slos/none", 404),
    ] {
        let answer = read(&router, AccessRole::Viewer, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        answers.push(answer.header("ratelimit").to_owned());
    }
    let left = |left: u32, seconds: u32| format!("\"token-requests\";r={left};t={seconds}");
    let [a, b, c, d] = [5998, 5997, 5996, 5995].map(|requests| left(requests, 40));
    assert_eq!(answers, [left(5999, 60), a, b, c, d]);
}

#[tokio::test]
async fn an_answer_has_what_is_left_of_each_limit_to_which_the_request_counts() {
    let (_shop, router) = pages().await;
    let token = bearer(AccessRole::Editor);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", token.as_str()),
    ];
    let body = r#"{"kind": "note", "title": "upgrade"}"#;
    let answer = post_with(&router, "/api/v1/events", &headers, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let all = answer.headers.get_all("ratelimit").iter();
    let all: Vec<&str> = all.map(|value| value.to_str().unwrap()).collect();
    assert_eq!(
        all,
        [
            "\"change-events\";r=999;t=3600",
            "\"token-requests\";r=5999;t=60"
        ]
    );
}

#[tokio::test]
async fn a_token_that_sends_too_much_waits_and_others_do_not() {
    let (shop, router) = pages().await;
    for _ in 0..MANY {
        let answer = read(&router, AccessRole::Viewer, "/docs").await;
        assert_eq!(answer.status, 303, "{}", answer.body);
    }
    shop.clock.advance(Duration::from_secs(59));
    let refused = read(&router, AccessRole::Viewer, "/api/v1/slos").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.header("ratelimit"), "\"token-requests\";r=0;t=1");
    assert_eq!(
        refused.json()["detail"],
        "too many requests were sent with this token within a minute"
    );
    let other = read(&router, AccessRole::Editor, "/api/v1/slos").await;
    assert_eq!(other.status, 200, "{}", other.body);
    let failures = read(&router, AccessRole::Editor, "/metrics").await;
    let counted = failures.body.contains("throughline_auth_failures_total{");
    assert!(!counted, "it is no wrong token: {}", failures.body);
    shop.clock.advance(Duration::from_secs(1));
    let again = read(&router, AccessRole::Viewer, "/api/v1/slos").await;
    assert_eq!(again.status, 200, "{}", again.body);
}

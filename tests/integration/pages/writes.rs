//! Requests that write: from where, in what form, and by whom.

use super::{
    client::{get_with, post_json, post_with},
    fixture,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_form_of_another_site_is_refused_before_anything_is_done() {
    let shop = fixture::empty(fixture::catalog()).await;
    for path in ["/alerts", "/api/v1/alerts"] {
        for headers in [
            [FORM, ("sec-fetch-site", "cross-site")],
            [FORM, ("origin", "https://evil.example")],
        ] {
            let answer = post_with(&shop.router, path, &headers, "").await;
            assert_eq!(answer.status, 403, "{path}: {}", answer.body);
            assert!(
                answer.body.contains("not sent by a page of this service"),
                "{}",
                answer.body
            );
        }
        let ours = [FORM, ("sec-fetch-site", "same-origin")];
        let answer = post_with(&shop.router, path, &ours, "").await;
        assert_eq!(
            answer.status, 405,
            "only then it is found that nothing is there to write"
        );
    }
}

#[tokio::test]
async fn the_api_takes_json_and_says_so() {
    let shop = fixture::empty(fixture::catalog()).await;
    let refused = post_with(&shop.router, "/api/v1/alerts", &[FORM], "a=b").await;
    assert_eq!(refused.status, 415);
    assert_eq!(
        refused.json()["help"],
        "send the header `Content-Type: application/json`"
    );
    let taken = post_json(&shop.router, "/api/v1/alerts", &serde_json::json!({})).await;
    assert_eq!(taken.status, 405);
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_whatever_it_asks_for() {
    let shop = fixture::empty(fixture::catalog()).await;
    // As a browser sends it for a page whose name was made to lead here.
    let rebound = [
        ("host", "evil.example:8080"),
        ("origin", "http://evil.example:8080"),
        ("sec-fetch-site", "same-origin"),
    ];
    for path in ["/", "/api/v1/slos", "/metrics", "/healthz", "/nowhere"] {
        let answer = get_with(&shop.router, path, &rebound).await;
        assert_eq!(answer.status, 421, "{path}: {}", answer.body);
        assert!(answer.body.contains("--allowed-hosts"), "{}", answer.body);
    }
    let written = post_with(&shop.router, "/api/v1/alerts", &rebound, "").await;
    assert_eq!(written.status, 421);
    for ours in ["slo.example", "localhost:8080", "192.168.7.7:8080"] {
        let answer = get_with(&shop.router, "/", &[("host", ours)]).await;
        assert_eq!(answer.status, 200, "{ours}");
    }
}

//! Tests of targets, which may wake somebody: one a minute and target, however many ask for one.

use std::time::Duration;

use serde_json::json;
use throughline::web;
use tokio::task::JoinSet;

use super::{client::post_json, fixture};
use crate::support::app::catalog;

const TARGETS: &str = "
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: hook }
spec: { webhook: { url: 'http://127.0.0.1:1/' } }
---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: { name: other }
spec: { webhook: { url: 'http://127.0.0.1:1/' } }
";

const TEST: &str = "/api/v1/targets/hook/test";

#[tokio::test]
async fn a_target_is_tested_once_a_minute_on_all_replicas_together() {
    let shop = fixture::empty(catalog(TARGETS)).await;
    let other_replica = web::router(shop.state.clone());
    let mut testing = JoinSet::new();
    for router in [&shop.router, &other_replica].repeat(5) {
        let router = router.clone();
        testing.spawn(async move { post_json(&router, TEST, &json!({})).await });
    }
    let answers = testing.join_all().await;
    let taken = answers.iter().filter(|answer| answer.status == 202);
    let taken: Vec<_> = taken.collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].header("ratelimit"), "\"target-tests\";r=0;t=60");
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert_eq!(refused.len(), 9);
    assert_eq!(refused[0].header("retry-after"), "60");

    let render = post_json(&shop.router, TEST, &json!({ "render": true })).await;
    assert_eq!(render.status, 202, "{}", render.body);
    let another = "/api/v1/targets/other/test";
    let another = post_json(&shop.router, another, &json!({})).await;
    assert_eq!(another.status, 202, "{}", another.body);

    shop.clock.advance(Duration::from_secs(59));
    let early = post_json(&shop.router, TEST, &json!({})).await;
    assert_eq!((early.status, early.header("retry-after")), (429, "1"));
    shop.clock.advance(Duration::from_secs(1));
    let again = post_json(&shop.router, TEST, &json!({})).await;
    assert_eq!(again.status, 202, "{}", again.body);
    shop.clock.advance(Duration::from_mins(1));
    let render = post_json(&shop.router, TEST, &json!({ "render": true })).await;
    assert_eq!(render.header("ratelimit"), "\"target-tests\";r=1");
}

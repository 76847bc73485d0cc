//! The reference of the API that the service serves.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;
use throughline::domain::slo::Catalog;

use super::{
    client::{get, post_json},
    fixture,
};

#[tokio::test]
async fn every_route_of_the_api_is_in_its_reference() {
    let listed: BTreeSet<String> = operations()
        .await
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    let routes = Regex::new(r#"route\(\s*"(/api/[^"]+)""#).unwrap();
    let routes: BTreeSet<String> = routes
        .captures_iter(include_str!("../../../src/web/mod.rs"))
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(listed, routes);
}

#[tokio::test]
async fn every_operation_of_the_reference_exists() {
    let shop = fixture::empty(Catalog::default()).await;
    let part = Regex::new(r"\{[a-z]+\}").unwrap();
    for (method, path) in operations().await {
        let address = part.replace_all(&path, "1");
        let status = match method.as_str() {
            "GET" => get(&shop.router, &address).await.status,
            "POST" => {
                let body = serde_json::json!({});
                post_json(&shop.router, &address, &body).await.status
            }
            _ => continue,
        };
        assert_ne!(status, 405, "{method} {path}");
    }
}

/// Method and path of every operation that is listed.
async fn operations() -> Vec<(String, String)> {
    let shop = fixture::empty(Catalog::default()).await;
    let reference = get(&shop.router, "/api/v1/docs/api").await.json();
    let groups = reference["groups"].as_array().unwrap().iter();
    let operations = groups.flat_map(|group| group["operations"].as_array().unwrap().clone());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    operations
        .map(|operation| (text(&operation["method"]), text(&operation["path"])))
        .collect()
}

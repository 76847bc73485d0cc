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

#[tokio::test]
async fn the_openapi_document_has_every_operation_with_exactly_the_parameters_it_takes() {
    let shop = fixture::empty(Catalog::default()).await;
    let document = get(&shop.router, "/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let part = Regex::new(r"\{[a-z]+\}").unwrap();
    let mut ids = BTreeSet::new();
    for (method, path) in operations().await {
        let described = &document["paths"][&path][method.to_lowercase()];
        let id = described["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        let named = |place: &str| -> BTreeSet<String> {
            let parameters = described["parameters"].as_array().unwrap().iter();
            let of_place = parameters.filter(|one| one["in"] == place);
            of_place
                .map(|one| one["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(named("path").len(), part.find_iter(&path).count(), "{path}");
        if method != "GET" {
            continue;
        }
        let address = format!("{}?no_such_parameter=1", part.replace_all(&path, "1"));
        let problem = get(&shop.router, &address).await;
        assert_eq!(problem.status, 400, "{path}");
        let problem = problem.json();
        // Alertmanager's clients get a text.
        let detail = problem.as_str().or(problem["detail"].as_str());
        let detail = detail.unwrap().to_owned();
        let detail = detail.split(": omit it").next().unwrap();
        let taken = detail
            .split_once(": known are ")
            .map_or("", |(_, names)| names);
        let taken = taken.split(", ").filter(|name| !name.is_empty());
        let taken: BTreeSet<String> = taken.map(str::to_owned).collect();
        assert_eq!(named("query"), taken, "{path}: {detail}");
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

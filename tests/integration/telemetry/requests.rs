//! The id of a request: in its answer, in errors, and in the log.

use reqwest::{
    Response,
    header::{ACCEPT, HeaderValue},
};
use serde_json::Value;

use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    link::Link,
    service::Site,
    workload::ORDERS,
};

async fn get(api: &Api, path: &str, id: &str) -> Response {
    let request = api.client.get(format!("{}{path}", api.pages));
    let request = request
        .header("x-request-id", id)
        .header(ACCEPT, "text/html");
    request.send().await.unwrap()
}

fn id(response: &Response) -> Option<&str> {
    let id = response.headers().get("x-request-id");
    id.and_then(|id: &HeaderValue| id.to_str().ok())
}

#[tokio::test]
async fn every_answer_bears_the_id_of_its_request_and_errors_say_it() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    let api = &service.api;
    for path in ["/", "/healthz", "/metrics", "/nothing", "/api/v1/slos"] {
        assert_eq!(
            id(&get(api, path, "mine-7").await),
            Some("mine-7"),
            "{path}"
        );
    }
    let made = get(api, "/healthz", "not one\tof ours").await;
    assert!(id(&made).is_some_and(|id| id.len() == 36), "{made:?}");

    let refused = get(api, "/api/v1/slos/nothing", "mine-8").await;
    let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(body["request_id"], "mine-8");
    let page = get(api, "/slos/nothing", "mine-9").await;
    let page = page.text().await.unwrap();
    assert!(page.contains("<code>mine-9</code>"), "{page}");
}

#[tokio::test]
async fn what_is_logged_of_a_request_bears_its_id() {
    let database = TestDatabase::create().await;
    let mut link = Link::to(&database);
    link.open().await;
    let site = Site::new(ORDERS).variable("DATABASE_URL", &link.url);
    let service = site.start().await;
    drop(link);
    until("an error", async || {
        let answer = get(&service.api, "/api/v1/slos", "mine-10").await;
        (answer.status() == 503).then_some(())
    })
    .await;
    let said = service.said();
    let is_it = |line: &&str| line.contains("mine-10") && line.contains("cannot show a page");
    assert!(said.lines().any(|line| is_it(&line)), "{said}");
}

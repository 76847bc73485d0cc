//! Pages that are read from a standby, and what they do while it is behind or away.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, header::AGE};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{
    api::until,
    cluster::{Cluster, Replication},
    service::{Service, Site},
    workload::{ORDERS, now, send},
};

fn site(cluster: &Cluster) -> Site {
    Site::new(ORDERS)
        .variable("DATABASE_URL", &cluster.primary_url())
        .variable("THROUGHLINE_DATABASE_READ_URL", &cluster.standby_url())
}

fn get(service: &Service, path: &str) -> RequestBuilder {
    service
        .api
        .client
        .get(format!("{}{path}", service.api.pages))
}

async fn answered(request: RequestBuilder) -> Response {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer
}

/// Whether an answer was read from the standby: only these have an age.
fn is_of_standby(answer: &Response) -> bool {
    answer.headers().contains_key(AGE)
}

async fn is_read_from_standby(service: &Service) {
    until("an answer of the standby", async || {
        let answer = answered(get(service, "/api/v1/slos")).await;
        is_of_standby(&answer).then_some(())
    })
    .await;
}

async fn is_read_from_primary(service: &Service) {
    until("an answer of the primary", async || {
        let answer = answered(get(service, "/api/v1/slos")).await;
        (!is_of_standby(&answer)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_page_of_a_standby_that_is_behind_says_so_and_the_primary_answers_when_it_is_away() {
    let mut cluster = Cluster::start(Replication::Asynchronous).await;
    let site = site(&cluster);
    let service = site.start().await;
    send(&service.api, "order placed", &[rand::random()], now()).await;
    is_read_from_standby(&service).await;
    let page = answered(get(&service, "/")).await.text().await.unwrap();
    assert!(!page.contains("behind."), "{page}");

    cluster.on_standby("select pg_wal_replay_pause()").await;
    let page = until("a page that is behind", async || {
        let page = answered(get(&service, "/")).await.text().await.unwrap();
        page.contains("this page is read from is").then_some(page)
    });
    assert!(page.await.contains("behind."));
    cluster.on_standby("select pg_wal_replay_resume()").await;
    is_read_from_standby(&service).await;

    cluster.kill_standby();
    for _ in 0..10 {
        answered(get(&service, "/")).await;
        sleep(Duration::from_millis(100)).await;
    }
    is_read_from_primary(&service).await;
    cluster.restart_standby().await;
    is_read_from_standby(&service).await;
}

#[tokio::test]
async fn whoever_writes_reads_what_they_wrote_though_the_standby_does_not_have_it() {
    let cluster = Cluster::start(Replication::Asynchronous).await;
    let site = site(&cluster);
    let service = site.start().await;
    is_read_from_standby(&service).await;
    cluster.on_standby("select pg_wal_replay_pause()").await;
    is_read_from_standby(&service).await;
    let event = json!({ "kind": "deploy", "title": "deployed shop v7" });
    let written = {
        service
            .api
            .client
            .post(format!("{}/api/v1/events", service.api.pages))
    }
    .header("content-type", "application/json")
    .body(event.to_string())
    .send()
    .await
    .unwrap();
    assert!(written.status().is_success(), "{:?}", written.text().await);
    let answer = answered(get(&service, "/api/v1/events")).await;
    assert!(!is_of_standby(&answer));
    let text = answer.text().await.unwrap();
    assert!(text.contains("deployed shop v7"), "{text}");
    cluster.on_standby("select pg_wal_replay_resume()").await;
    until("the event on the standby", async || {
        let answer = answered(get(&service, "/api/v1/events")).await;
        let is_of_standby = is_of_standby(&answer);
        let text = answer.text().await.unwrap();
        assert!(text.contains("deployed shop v7"), "{text}");
        is_of_standby.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_browser_that_wrote_at_another_replica_of_the_service_reads_from_the_primary() {
    let cluster = Cluster::start(Replication::Asynchronous).await;
    let site = site(&cluster);
    let service = site.start().await;
    is_read_from_standby(&service).await;
    let cookie = |at: i64| get(&service, "/").header("cookie", format!("written={at}"));
    let later = now().as_micros() + 10_000_000;
    assert!(!is_of_standby(&answered(cookie(later)).await));
    assert!(is_of_standby(&answered(cookie(0)).await));
}

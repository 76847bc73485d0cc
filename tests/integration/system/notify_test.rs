//! `throughline notify-test` against a running service: what a test says of a target is true.

use std::process::Output;

use crate::support::{
    database::TestDatabase,
    receiver::{Receiver, Reply},
    service::{Service, Site, program},
};

fn definitions(url: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: AlertNotificationTarget\nmetadata: {{ name: hook }}\n\
         spec: {{ webhook: {{ url: '{url}' }} }}\n---\n\
         apiVersion: throughline/v1\nkind: AlertNotificationTarget\nmetadata: {{ name: pager }}\n\
         spec: {{ pagerduty: {{ routingKey: {{ env: ROUTING_KEY }}, url: '{url}' }} }}\n"
    )
}

const ROUTING_KEY: &str = "e93facc04764012d7bfb002500d5d1a6";

async fn start(url: &str) -> (Site, Service) {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, &definitions(url)).variable("ROUTING_KEY", ROUTING_KEY);
    let service = site.start().await;
    (site, service)
}

async fn notify_test(service: &Service, arguments: &'static [&'static str]) -> (i32, String) {
    let server = service.api.pages.clone();
    let run = move || -> Output {
        program()
            .arg("notify-test")
            .args(arguments)
            .args(["--server", &server])
            .output()
            .expect("the program starts")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[tokio::test]
pub(crate) async fn t33_a_test_takes_the_way_of_an_alert_and_tells_how_that_went() {
    let busy = Reply::Status(503, "busy".to_owned());
    let receiver = Receiver::start([busy]).await;
    let (_site, service) = start(&receiver.url).await;
    let (code, said) = notify_test(&service, &["hook"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(": unavailable after"), "{said}");
    assert!(said.contains("HTTP 503: busy; again at"), "{said}");
    assert!(said.ends_with("delivered\n"), "{said}");
    let told = receiver.requests();
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].json()["type"], "slo.test");
    assert_eq!(told[0].headers["webhook-id"], told[1].headers["webhook-id"]);
    let page = service.api.text("/targets").await;
    assert!(page.contains("Send a test to hook"), "{page}");
}

#[tokio::test]
pub(crate) async fn t33_a_target_that_refuses_alerts_refuses_the_test_and_no_key_is_shown() {
    let invalid = r#"{"status":"invalid event","errors":["no such key"]}"#;
    let refuses = [(); 4].map(|()| Reply::Status(400, invalid.to_owned()));
    let receiver = Receiver::start(refuses).await;
    let (_site, service) = start(&receiver.url).await;
    let (code, said) = notify_test(&service, &["pager", "--scenario", "resolved"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(": rejected after"), "{said}");
    assert!(said.contains("no such key"), "{said}");
    assert!(said.ends_with("not delivered\n"), "{said}");
    assert!(said.contains("\"routing_key\": \"•••\""), "{said}");
    assert!(!said.contains(ROUTING_KEY), "{said}");
    let (code, said) = notify_test(&service, &["pagr"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("did you mean `pager`?"), "{said}");
}

#[tokio::test]
async fn what_would_be_sent_is_shown_without_being_sent() {
    let receiver = Receiver::start([]).await;
    let (_site, service) = start(&receiver.url).await;
    let (code, said) = notify_test(&service, &["hook", "--render", "--scenario", "unicode"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("slo.test"), "{said}");
    service.api.has_ticked("deliver").await;
    assert_eq!(receiver.requests().len(), 0);
}

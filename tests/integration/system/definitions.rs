//! Definitions that change while the service runs.

use nix::sys::signal::Signal;

use crate::support::{api::until, database::TestDatabase, service::Site, workload::ORDERS};

const LOADED: &str = "throughline_definitions_last_reload_successful";

#[tokio::test]
async fn broken_definitions_leave_the_old_ones_in_force_until_they_are_mended() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    let mut service = site.start().await;
    let loaded = async |value: f64| {
        until("the definitions to be looked at", async || {
            (service.api.metric(LOADED).await == Some(value)).then_some(())
        })
        .await;
    };
    loaded(1.0).await;

    site.define(&ORDERS.replace("within: 1m", "within: soon"));
    loaded(0.0).await;
    let shown = service.api.json("/api/v1/definitions").await;
    let problems = shown["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0].as_str().unwrap();
    assert!(problem.starts_with("orders.yaml:14:"), "{problem}");
    assert_eq!(
        shown["slos"][0]["name"], "orders",
        "the old ones are in force"
    );
    assert_eq!(service.api.status("/readyz").await, Some(200));

    site.define(&ORDERS.replace("objective: 99.5%", "objective: 99%"));
    service.signal(Signal::SIGHUP);
    loaded(1.0).await;
    let shown = service.api.json("/api/v1/definitions").await;
    assert_eq!(shown["problems"], serde_json::json!([]));
    assert_eq!(shown["slos"][0]["objective"], "99 %");
    service.ready().await;
}

#[tokio::test]
async fn a_service_that_starts_with_broken_definitions_goes_on_with_the_last_good_ones() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS);
    site.start().await.kill();
    site.define("apiVersion: throughline/v1\nkind: SLI\n");
    let service = site.spawn();
    until("an answer", async || service.api.status("/healthz").await).await;
    let shown = service.api.json("/api/v1/definitions").await;
    assert_eq!(shown["slos"][0]["name"], "orders");
    assert_eq!(service.api.metric(LOADED).await, Some(0.0));
    assert!(
        service.said().contains("orders.yaml:2:"),
        "{}",
        service.said()
    );
}

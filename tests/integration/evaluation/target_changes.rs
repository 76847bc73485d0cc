//! Definitions whose targets change while an alert fires.

use std::sync::Arc;

use throughline::{
    deliver::{FollowedChanges, Reconciler, Reconciliation, TargetChanges},
    domain::model::ids::Name,
};

use super::*;
use crate::support::receiver::Receiver;

/// After ten minutes of a stall, in which the page has been delivered to `pages`.
async fn paging(pages: &[&str]) -> (TestApp, Receiver) {
    let mut slo = slo_of(ORDERS);
    slo.notify.page = names(pages);
    let app = TestApp::new().define(slo).history(HOUR * 48, good(10));
    let app = app.with(|_| {}).await;
    let receiver = app.receiver("oncall", []).await;
    app.stall().await;
    assert_eq!(app.ticks([10]).await.fired, 1);
    app.deliver().await;
    (app, receiver)
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Other definitions are read: the target `oncall` has this name, and pages go to `pages`.
fn change(app: &TestApp, target: &str, pages: &[&str]) {
    app.reads(|catalog| {
        let before = catalog.clone();
        let declared = catalog.targets.remove(&names(&["oncall"])[0]).unwrap();
        let mut declared = Arc::unwrap_or_clone(declared);
        declared.name = target.parse().unwrap();
        catalog
            .targets
            .insert(declared.name.clone(), Arc::new(declared));
        for slo in catalog.slos.values_mut() {
            Arc::make_mut(slo).notify.page = names(pages);
        }
        *catalog = catalog.clone().after(&before);
    });
}

async fn follow(app: &TestApp) -> FollowedChanges {
    let catalog = app.definitions.catalog.subscribe();
    let changes = TargetChanges::new(app.store.clone(), catalog, None);
    changes.tick(app.clock.now()).await.unwrap()
}

async fn found_gaps(app: &TestApp) -> Reconciliation {
    let catalog = app.definitions.catalog.subscribe();
    let reconciler = Reconciler::new(app.store.clone(), catalog);
    reconciler.tick(app.clock.now()).await.unwrap()
}

async fn resolve(app: &TestApp) {
    for minute in 11..=60 {
        app.tick_at(minute).await;
        app.deliver().await;
        assert_eq!(found_gaps(app).await, Reconciliation::default(), "{minute}");
    }
    assert_eq!(app.status().await.state, SloState::Ok);
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests().into_iter();
    let kind = |body: serde_json::Value| body["type"].as_str().unwrap().to_owned();
    requests.map(|request| kind(request.json())).collect()
}

#[tokio::test]
async fn b5_a_target_that_is_renamed_while_its_alert_fires_is_told_the_end() {
    let (app, receiver) = Box::pin(paging(&["oncall"])).await;
    change(&app, "pager", &["pager"]);
    let renamed = FollowedChanges {
        renamed: 1,
        added: 0,
    };
    assert_eq!(follow(&app).await, renamed);
    assert_eq!(follow(&app).await, FollowedChanges::default());
    resolve(&app).await;
    assert_eq!(kinds(&receiver), ["slo.alert.firing", "slo.alert.resolved"]);
    assert_eq!(
        app.deliveries().await,
        [
            "pager firing slo/orders/page 0",
            "pager resolved slo/orders/page 0"
        ]
    );
}

#[tokio::test]
async fn b5_a_target_whose_name_changes_before_it_is_notified_is_notified_once() {
    let mut slo = slo_of(ORDERS);
    slo.notify.page = names(&["oncall"]);
    let app = TestApp::new().define(slo).history(HOUR * 48, good(10));
    let app = app.with(|_| {}).await;
    let receiver = app.receiver("oncall", []).await;
    app.stall().await;
    app.ticks([10]).await;
    change(&app, "pager", &["pager"]);
    follow(&app).await;
    app.deliver().await;
    assert_eq!(kinds(&receiver), ["slo.alert.firing"]);
}

#[tokio::test]
async fn p11_a_target_that_is_added_while_an_alert_fires_is_notified_and_no_gap_is_found() {
    let (app, receiver) = Box::pin(paging(&[])).await;
    assert_eq!(kinds(&receiver), [] as [&str; 0]);
    app.ticks([14]).await;
    change(&app, "oncall", &["oncall"]);
    let added = FollowedChanges {
        renamed: 0,
        added: 1,
    };
    assert_eq!(follow(&app).await, added);
    assert_eq!(follow(&app).await, FollowedChanges::default());
    app.deliver().await;
    let message = receiver.requests().pop().unwrap().json();
    assert_eq!(message["data"]["notes"][0]["kind"], "added");
    resolve(&app).await;
    assert_eq!(kinds(&receiver), ["slo.alert.firing", "slo.alert.resolved"]);
}

#[tokio::test]
async fn b5_a_target_that_is_added_is_not_notified_of_a_muted_alert() {
    let (app, receiver) = Box::pin(paging(&[])).await;
    app.execute(
        "update alerts set suppression = '{\"kind\": \"inhibited\", \"by\": \"page\"}' where state = 'firing'",
    )
    .await;
    change(&app, "oncall", &["oncall"]);
    assert_eq!(follow(&app).await, FollowedChanges::default());
    assert_eq!(kinds(&receiver), [] as [&str; 0]);
}

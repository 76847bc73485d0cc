//! The database is away while an alert fires: nobody is told that it is over, somebody is told that
//! nobody looks.

use super::orders_with_a_hook;
use crate::support::{
    api::until,
    database::TestDatabase,
    link::Link,
    receiver::Receiver,
    service::{Service, Site},
    workload::{now, send},
};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

async fn stall(service: &Service) {
    let traces: Vec<[u8; 16]> = (0..60).map(|_| rand::random()).collect();
    send(&service.api, "order placed", &traces, now()).await;
}

fn types(receiver: &Receiver) -> Vec<String> {
    let said = receiver.requests();
    let of = said.iter().map(|one| one.json()["type"].to_string());
    of.map(|kind| kind.trim_matches('"').to_owned()).collect()
}

#[tokio::test]
pub(crate) async fn t11_an_alert_outlives_a_database_that_is_away_and_the_emergency_target_is_told()
{
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let mut link = Link::to(&database);
    link.open().await;
    let (hook, emergency) = (Receiver::start([]).await, Receiver::start([]).await);
    let definitions = format!(
        "{}\n---\napiVersion: throughline/v1\nkind: AlertNotificationTarget\n\
         metadata: {{ name: emergency }}\nspec: {{ webhook: {{ url: '{}' }} }}\n",
        orders_with_a_hook().replace("within: 1m", "within: 2s"),
        emergency.url
    );
    let site = Site::new(&definitions)
        .variable("DATABASE_URL", &link.url)
        .variable("HOOK_URL", &format!("{}/slo", hook.url))
        .variable("HOOK_SECRET", SECRET)
        .flag("--emergency-target", "emergency")
        .flag("--emergency-after", "2s");
    let service = site.start().await;
    stall(&service).await;
    until("the alert", async || hook.requests().into_iter().next()).await;
    service.api.has_ticked("database_outage").await;

    link.hold();
    let told = until("the emergency", async || {
        emergency.requests().into_iter().next()
    })
    .await;
    let body = told.json();
    assert_eq!(body["type"], "slo.self_check.opened");
    let summary = body["data"]["summary"].as_str().unwrap();
    assert!(
        summary.contains("have not been evaluated since"),
        "{summary}"
    );
    assert!(summary.ends_with(" firing"), "{summary}");
    assert!(!summary.contains("no alert"), "{summary}");
    assert_eq!(types(&hook), ["slo.alert.firing"]);

    link.release();
    until("its end", async || {
        (emergency.requests().len() >= 2).then_some(())
    })
    .await;
    assert_eq!(types(&emergency)[1], "slo.self_check.resolved");
    for _ in 0..2 {
        service.api.has_ticked("evaluate").await;
    }
    let alerts = service.api.json("/api/v1/alerts").await;
    assert_eq!(alerts["firing"][0]["state"], "firing", "{alerts}");
    assert!(!types(&hook).contains(&"slo.alert.resolved".to_owned()));
}

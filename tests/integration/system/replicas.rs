//! Two replicas on one database are one service.

use super::{assert_exact, orders_with_a_hook};
use crate::support::{
    database::TestDatabase,
    receiver::Receiver,
    service::Site,
    workload::{Delivery, Workload},
};

#[tokio::test]
async fn two_replicas_count_every_order_once_and_tell_of_an_alert_once() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let hook = Receiver::start([]).await;
    let site = || {
        Site::on(&database, &orders_with_a_hook())
            .flag("--evaluation-interval", "500ms")
            .variable("HOOK_URL", &hook.url)
            .variable("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    };
    let (one, other) = (site(), site());
    let (one, other) = tokio::join!(one.start(), other.start());
    let workload = Workload::of(1_500, 5);
    let mut load = Delivery::start(&workload, &[&one.api.http, &other.api.http]);
    load.finish().await;
    assert_exact(&one.api, &workload).await;
    assert_eq!(other.api.counts("orders").await, workload.expected);

    hook.wait_for(1).await;
    for replica in [&one, &other] {
        replica.api.has_ticked("evaluate").await;
        replica.api.has_ticked("deliver").await;
    }
    assert_eq!(hook.requests().len(), 1);
    let alerts = one.api.json("/api/v1/alerts").await;
    let paged = |list: &str| {
        let list = alerts[list].as_array().unwrap().iter();
        list.filter(|alert| alert["severity"] == "page").count()
    };
    assert_eq!((paged("firing"), paged("transitions")), (1, 1), "{alerts}");
}

//! What a service must still say that was not there when it happened.

use super::{modes::Kind, replicas::Replicas};
use crate::support::{
    database::TestDatabase,
    receiver::{Receiver, Reply},
};

#[tokio::test]
pub(crate) async fn t15_an_alert_that_ends_while_nobody_is_there_is_told_to_be_over() {
    let database = TestDatabase::create().await;
    let targets = ["gone", "refused"].map(|name| (name, Kind::Webhook));
    let mut replicas = Replicas::start(&database, targets.to_vec()).await;
    let gone = Receiver::start([]).await;
    // The end of this one is known before the restart, and nobody could be told.
    let refusal = Reply::Status(503, String::new());
    let fine = Reply::Status(200, String::new());
    let refused = Receiver::start([fine, refusal]).await;
    for (name, receiver) in [("gone", &gone), ("refused", &refused)] {
        replicas.lead(name, Kind::Webhook, &receiver.url);
        replicas.trouble(name).await;
        replicas.told(name, 1).await;
    }
    replicas.remove(&["refused"]);
    refused.wait_for(2).await;
    replicas.kill();
    replicas.remove(&["refused", "gone"]);
    replicas.start_again().await;
    replicas.told("gone", 2).await;
    replicas.leases_lapse().await;
    replicas.told("refused", 2).await;
    for (receiver, requests) in [(&gone, 2), (&refused, 3)] {
        let told = receiver.requests();
        assert_eq!(told.len(), requests);
        let last = told.last().unwrap().json();
        assert_eq!(last["type"], "slo.alert.resolved");
        assert_eq!(
            last["data"]["incident_summary"]["ended_by"], "removed",
            "{last}"
        );
    }
}

//! A replica that stands still in the middle of its work, and goes on when it is over for everybody
//! else.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::sync::Notify;

use super::{modes::Kind, replicas::Replicas};
use crate::support::{
    api::until,
    database::TestDatabase,
    receiver::{Receiver, Reply},
};

#[tokio::test]
pub(crate) async fn t18_a_replica_that_was_frozen_for_longer_than_its_lease_changes_nothing_when_it_is_back()
 {
    let database = TestDatabase::create().await;
    let mut replicas = Replicas::start(&database, vec![("hook", Kind::Webhook)]).await;
    let gate = Arc::new(Notify::new());
    let receiver = Receiver::start([Reply::Gate(Arc::clone(&gate))]).await;
    replicas.lead("hook", Kind::Webhook, &receiver.url);

    replicas.signal(1, Signal::SIGSTOP);
    replicas.trouble("hook").await;
    // The other one may stand still in the middle of a transaction: Postgres ends it after 20 s.
    until("the request", async || {
        (!receiver.requests().is_empty()).then_some(())
    })
    .await;
    replicas.signal(0, Signal::SIGSTOP);
    replicas.leases_lapse().await;
    replicas.signal(1, Signal::SIGCONT);
    replicas.told("hook", 1).await;
    assert_eq!(receiver.requests().len(), 2, "told by the other one");

    gate.notify_one();
    replicas.signal(0, Signal::SIGCONT);
    until("a lost lease", async || {
        replicas.said(0).contains("lost the lease").then_some(())
    })
    .await;
    replicas.remove(&["hook"]);
    replicas.told("hook", 2).await;
    let told = receiver.requests();
    let ids: Vec<_> = told.iter().map(|one| &one.headers["webhook-id"]).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[1], "a repeat is known by its id");
    assert_eq!(told[2].json()["type"], "slo.alert.resolved");
}

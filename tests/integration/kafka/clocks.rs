//! Brokers whose clocks are wrong, of a topic with their times.

use nix::sys::signal::Signal;
use std::time::Duration;

use super::{Cluster, jumps::site, problems, problems::says, replicas::all_are_committed};
use crate::support::{
    api::until,
    database::TestDatabase,
    relay::Relay,
    workload::{Workload, now},
};

const AHEAD: &str = "The clock of a broker is ahead";

#[tokio::test]
async fn a_clock_that_is_ahead_is_remembered_until_it_is_right() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let relay = Relay::to(&cluster.brokers).await;
    relay.has_append_times();
    let site = site(&relay, &database);
    let service = site.start().await;
    let ahead = now() + Duration::from_hours(1);
    let orders = Workload::good(5, 1).requests;
    cluster.write_at(&orders, |_| ahead).await;
    says(&database, AHEAD).await;
    all_are_committed(&database, orders.len()).await;
    service.signal(Signal::SIGTERM);
    service.ended().await;
    sqlx::query("update replicas set kafka_problems = '{}'")
        .execute(&mut database.connect().await)
        .await
        .unwrap();

    // The next one has not seen it, but it knows.
    let _service = site.start().await;
    says(&database, AHEAD).await;
    // Until a message comes with the right time.
    until("no problem", async || {
        let at = now();
        cluster
            .write_at(&Workload::good(1, 2).requests, |_| at)
            .await;
        problems(&database).await.is_empty().then_some(())
    })
    .await;
}

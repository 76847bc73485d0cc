//! Several replicas share the partitions, whatever becomes of one of them, or of their database.

use nix::sys::signal::Signal;

use super::{Cluster, has_read};
use crate::support::{
    api::until,
    database::TestDatabase,
    link::Link,
    service::Site,
    workload::{ORDERS, Workload},
};

/// The offsets that the database knows, of all partitions together.
pub(super) async fn committed(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("select coalesce(sum(next_offset), 0)::bigint from kafka_partitions")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap()
}

pub(super) async fn all_are_committed(database: &TestDatabase, messages: usize) {
    let messages = i64::try_from(messages).unwrap();
    until("all messages in the database", async || {
        (committed(database).await == messages).then_some(())
    })
    .await;
}

#[tokio::test]
async fn orders_are_counted_once_though_a_replica_is_killed_and_others_come_and_go() {
    let (cluster, database) = (Cluster::new(6), TestDatabase::create().await);
    let workload = Workload::of(3_000, 1);
    let parts: Vec<_> = workload
        .requests
        .chunks(workload.requests.len() / 4 + 1)
        .collect();
    let (one, other, third) = (
        cluster.site(&database),
        cluster.site(&database),
        cluster.site(&database),
    );
    let (first, second) = tokio::join!(one.start(), other.start());
    cluster.write(parts[0]).await;
    until("both read", async || {
        for service in [&first, &second] {
            let read = "throughline_kafka_messages_total{result=\"committed\"}";
            service.api.metric(read).await.filter(|read| *read > 0.0)?;
        }
        Some(())
    })
    .await;
    // Killed, and its partitions go to the other one.
    cluster.write(parts[1]).await;
    first.kill();
    cluster.write(parts[2]).await;
    // One more comes, and one goes in order.
    let last = third.start().await;
    has_read(&last.api, 1).await;
    second.signal(Signal::SIGTERM);
    cluster.write(parts[3]).await;
    let (status, said) = second.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    all_are_committed(&database, workload.requests.len()).await;
    last.api.counts_become("orders", workload.expected).await;
    // All of it once more.
    cluster.write(&workload.requests).await;
    all_are_committed(&database, workload.requests.len() * 2).await;
    assert_eq!(last.api.counts("orders").await, workload.expected);
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let mut link = Link::to(&database);
    link.open().await;
    let site = Site::new(ORDERS)
        .variable("DATABASE_URL", &link.url)
        .flag("--kafka-brokers", &cluster.brokers);
    let service = site.start().await;
    let workload = Workload::of(2_000, 2);
    let (before, during) = workload.requests.split_at(100);
    cluster.write(before).await;
    has_read(&service.api, before.len()).await;
    link.hold();
    cluster.write(during).await;
    until("a word that the database is away", async || {
        (service.api.status("/readyz").await == Some(503)).then_some(())
    })
    .await;
    let known = committed(&database).await;
    assert!(known <= i64::try_from(before.len()).unwrap() + 1);
    link.release();
    all_are_committed(&database, workload.requests.len()).await;
    service.api.counts_become("orders", workload.expected).await;
}

//! A replica that starts on a database which lacks what was read before: that of a standby which was promoted
//! before it got it, or of a backup.

use nix::sys::signal::Signal;

use super::{Cluster, SpanLog, has_read, problems, replicas::all_are_committed};
use crate::support::{api::until, app::good, database::TestDatabase, workload::Workload};

const MESSAGES: usize = 40;

/// A service reads the topic, on a database that is then gone.
async fn read_before(log: &SpanLog) {
    let database = TestDatabase::create().await;
    let site = log.site(&database);
    let service = site.start().await;
    log.write(&Workload::good(MESSAGES, 1).requests).await;
    all_are_committed(&database, MESSAGES).await;
    service.api.has_ticked("kafka").await;
    service.signal(Signal::SIGTERM);
    service.ended().await;
}

#[tokio::test]
async fn a_topic_that_its_own_installation_has_read_is_read_again_from_its_start() {
    let cluster = Cluster::new(2);
    read_before(&cluster).await;
    // Databases of tests are copies of one, so this is the same installation.
    let promoted = TestDatabase::create().await;
    let site = cluster.site(&promoted);
    let service = site.start().await;
    service.api.counts_become("orders", good(40)).await;
    all_are_committed(&promoted, MESSAGES).await;
    assert!(
        service
            .said()
            .contains("the database lacks what was read last")
    );
    // A start on a database that knows it is like any other.
    service.kill();
    cluster.write(&Workload::good(5, 2).requests).await;
    let service = site.start().await;
    service.api.counts_become("orders", good(45)).await;
    has_read(&service.api, 5).await;
    let read = "throughline_kafka_messages_total{result=\"committed\"}";
    assert_eq!(service.api.metric(read).await, Some(5.0));
}

#[tokio::test]
async fn another_installation_begins_where_the_group_is() {
    let cluster = Cluster::new(2);
    read_before(&cluster).await;
    let another = TestDatabase::create().await;
    sqlx::query("update service_state set installation_id = gen_random_uuid()")
        .execute(&mut another.connect().await)
        .await
        .unwrap();
    let site = cluster.site(&another);
    let service = site.start().await;
    cluster.write(&Workload::good(5, 2).requests).await;
    service.api.counts_become("orders", good(5)).await;
    all_are_committed(&another, MESSAGES + 5).await;
    until("a word that they share a group", async || {
        let said = problems(&another).await;
        said.contains("with the same consumer group").then_some(())
    })
    .await;
}

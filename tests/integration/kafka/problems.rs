//! What is wrong is said, and nothing is judged by what was not read.

use super::{Cluster, DEAD_LETTERS, TOPIC, problems};
use crate::support::{
    api::until,
    database::TestDatabase,
    service::Site,
    workload::{ORDERS, Workload},
};

pub(super) async fn says(database: &TestDatabase, wanted: &str) {
    until(wanted, async || {
        problems(database).await.contains(wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_said_until_it_does() {
    let (cluster, database) = (Cluster::without_topic(1), TestDatabase::create().await);
    cluster
        .mock
        .topic_error(
            TOPIC,
            rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        )
        .unwrap();
    let site = cluster.site(&database);
    let service = site.start().await;
    says(&database, "Topic `otlp_spans` does not exist.").await;
    cluster
        .mock
        .topic_error(
            TOPIC,
            rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        )
        .unwrap();
    let workload = Workload::good(5, 1);
    cluster.write(&workload.requests).await;
    service.api.counts_become("orders", workload.expected).await;
    until("no problem", async || {
        problems(&database).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_installations_that_share_a_group_are_told_of_each_other() {
    let cluster = Cluster::new(2);
    let (ours, theirs) = (TestDatabase::create().await, TestDatabase::create().await);
    for database in [&ours, &theirs] {
        // Databases of tests are copies of one.
        sqlx::query("update service_state set installation_id = gen_random_uuid()")
            .execute(&mut database.connect().await)
            .await
            .unwrap();
    }
    let (one, other) = (cluster.site(&ours), cluster.site(&theirs));
    let _services = tokio::join!(one.start(), other.start());
    cluster.write(&Workload::good(40, 1).requests).await;
    for database in [&ours, &theirs] {
        says(database, "reads `otlp_spans` with the same consumer group").await;
    }
}

#[tokio::test]
async fn brokers_that_cannot_be_reached_are_said() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS).flag("--kafka-brokers", "127.0.0.1:1");
    let _service = site.start().await;
    says(&database, "The brokers do not say how long `otlp_spans` is").await;
}

/// More than all tries of one commit: nothing is wrong with the messages, so they wait.
#[tokio::test]
async fn messages_that_lose_against_other_transactions_again_and_again_are_neither_dropped_nor_set_aside()
 {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let mut past = database.connect().await;
    for statement in [
        "create function collide() returns trigger language plpgsql
             as 'begin raise unique_violation using message = ''another was first''; end'",
        "create trigger collide before insert on workflows
             for each statement execute function collide()",
    ] {
        sqlx::query(statement).execute(&mut past).await.unwrap();
    }
    let site = cluster.site(&database);
    let site = site.flag("--kafka-dead-letter-topic", DEAD_LETTERS);
    let service = site.start().await;
    let workload = Workload::good(20, 1);
    cluster.write(&workload.requests).await;
    until("two commits that gave up", async || {
        let gave_up = service.said().matches("cannot commit spans").count();
        (gave_up >= 2).then_some(())
    })
    .await;
    sqlx::query("drop trigger collide on workflows")
        .execute(&mut past)
        .await
        .unwrap();
    service.api.counts_become("orders", workload.expected).await;
    let metrics = service.api.text("/metrics").await;
    let refused = "throughline_kafka_messages_total{result=\"refused\"} ";
    let mut refused = metrics.lines().filter(|line| line.starts_with(refused));
    assert!(refused.all(|line| line.ends_with(" 0")), "{metrics}");
}

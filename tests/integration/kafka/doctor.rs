//! What `throughline doctor` says of a topic.

use std::{collections::BTreeMap, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::task::spawn_blocking;

use super::{Cluster, TOPIC, jumps::site, replicas::all_are_committed};
use crate::{
    support::{
        database::TestDatabase,
        relay::Relay,
        workload::{Workload, now},
    },
    system::doctor::{doctor, examined},
};

type Checks = BTreeMap<String, (String, String)>;

/// Its exit code, and what it says.
async fn of_topic(database: &PgConnectOptions, brokers: &str) -> (Option<i32>, Checks) {
    let mut command = doctor(database, "slo-definitions");
    command.args(["--kafka-brokers", brokers]);
    // The relay works in this thread meanwhile.
    spawn_blocking(|| examined(command)).await.unwrap()
}

fn assert_said(checks: &Checks, check: &str, result: &str, text: &str) {
    let said = &checks[check];
    assert!(said.0 == result && said.1.contains(text), "{checks:?}");
}

async fn becomes_another_installation(database: &TestDatabase) {
    // Databases of tests are copies of one.
    sqlx::query("update service_state set installation_id = gen_random_uuid()")
        .execute(&mut database.connect().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_topic_is_examined_before_and_while_it_is_read_and_by_another_installation() {
    let (cluster, database) = (Cluster::new(3), TestDatabase::create().await);
    cluster.write(&Workload::good(6, 1).requests).await;
    let (_, checks) = of_topic(&database.options, &cluster.brokers).await;
    assert_said(&checks, "kafka brokers", "ok", "they answer");
    assert_said(
        &checks,
        "kafka topic",
        "ok",
        "`otlp_spans` has 3 partitions",
    );
    assert_said(
        &checks,
        "kafka group",
        "ok",
        "nobody has read by `throughline`",
    );
    assert_said(
        &checks,
        "kafka clock",
        "ok",
        "no message has a broker's time",
    );
    assert_said(
        &checks,
        "kafka lag",
        "warn",
        "6 messages wait, and no replica",
    );

    let service = cluster.site(&database).start().await;
    all_are_committed(&database, 6).await;
    service.api.has_ticked("heartbeat").await;
    let (_, checks) = of_topic(&database.options, &cluster.brokers).await;
    assert_said(
        &checks,
        "kafka group",
        "ok",
        "this installation alone reads",
    );
    assert_said(&checks, "kafka lag", "ok", "0 messages wait");

    let another = TestDatabase::create().await;
    becomes_another_installation(&another).await;
    let (code, checks) = of_topic(&another.options, &cluster.brokers).await;
    assert_said(&checks, "kafka group", "fail", "another installation (");
    assert_eq!(code, Some(1), "{checks:?}");
}

#[tokio::test]
async fn a_topic_and_brokers_that_are_not_there_are_named() {
    let (cluster, database) = (Cluster::without_topic(1), TestDatabase::create().await);
    let unknown = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.mock.topic_error(TOPIC, unknown).unwrap();
    let (code, checks) = of_topic(&database.options, &cluster.brokers).await;
    assert_said(&checks, "kafka brokers", "ok", "they answer");
    assert_said(
        &checks,
        "kafka topic",
        "fail",
        "there is no topic `otlp_spans`",
    );
    assert_eq!(code, Some(1));
    let (code, checks) = of_topic(&database.options, "127.0.0.1:1").await;
    assert_said(
        &checks,
        "kafka brokers",
        "fail",
        "the brokers do not answer",
    );
    assert!(!checks.contains_key("kafka topic"), "{checks:?}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn a_clock_that_is_ahead_and_a_group_without_a_database_are_said() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let relay = Relay::to(&cluster.brokers).await;
    relay.has_append_times();
    let service = site(&relay, &database).start().await;
    let ahead = now() + Duration::from_hours(1);
    cluster
        .write_at(&Workload::good(5, 1).requests, |_| ahead)
        .await;
    all_are_committed(&database, 5).await;
    service.api.has_ticked("heartbeat").await;
    let (_, checks) = of_topic(&database.options, &relay.brokers).await;
    assert_said(&checks, "kafka clock", "warn", "59 min ahead");

    let away = "postgres://127.0.0.1:1/shop".parse().unwrap();
    let (_, checks) = of_topic(&away, &relay.brokers).await;
    assert_said(&checks, "kafka group", "warn", "it is unknown which");
}

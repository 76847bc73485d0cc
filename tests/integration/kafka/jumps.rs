//! Messages that a broker leaves out, and offsets that have none.

use rdkafka::producer::FutureRecord;

use super::{Cluster, SpanLog, TOPIC, WITHIN, replicas::all_are_committed};
use crate::support::{
    api::Api,
    app::good,
    database::TestDatabase,
    relay::Relay,
    service::Site,
    workload::{ORDERS, Workload},
};

/// Writes each as a batch of its own, with a key: only such batches can be left out.
pub(super) async fn write_alone(log: &SpanLog, messages: &[Vec<u8>]) {
    let producer = log.producer("none");
    for message in messages {
        let record = FutureRecord::to(TOPIC).key("order").payload(message);
        let written = producer.send(record, WITHIN).await;
        written.map_err(|(error, _)| error).unwrap();
    }
}

async fn jumps(api: &Api, result: &str) -> Option<f64> {
    let sample = "throughline_kafka_offset_jumps_total{partition=\"0\",result=";
    api.metric(&format!("{sample}\"{result}\"}}")).await
}

pub(super) fn site(relay: &Relay, database: &TestDatabase) -> Site {
    Site::on(database, ORDERS).flag("--kafka-brokers", &relay.brokers)
}

#[tokio::test]
async fn messages_that_a_broker_leaves_out_are_read_again_and_none_is_lost() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let relay = Relay::to(&cluster.brokers).await;
    let orders = Workload::good(40, 1).requests;
    write_alone(&cluster, &orders).await;
    // In the middle, next to each other, and before the last one.
    relay.left_out.times(1, [7, 20, 21, 22]);
    relay.left_out.times(2, [38]);
    let site = site(&relay, &database);
    let service = site.start().await;
    service.api.counts_become("orders", good(40)).await;
    all_are_committed(&database, 40).await;
    assert_eq!(jumps(&service.api, "recovered").await, Some(3.0));
    assert_eq!(jumps(&service.api, "confirmed").await, Some(0.0));
    assert!(
        service
            .said()
            .contains("sent offset 8 of Kafka instead of 7")
    );
}

#[tokio::test]
async fn offsets_that_have_no_message_are_passed_over_and_counted() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let relay = Relay::to(&cluster.brokers).await;
    let orders = Workload::good(40, 2).requests;
    write_alone(&cluster, &orders).await;
    relay.left_out.times(u32::MAX, [3, 7, 20, 21, 22, 30, 38]);
    let site = site(&relay, &database);
    let service = site.start().await;
    service.api.counts_become("orders", good(33)).await;
    all_are_committed(&database, 40).await;
    assert_eq!(jumps(&service.api, "confirmed").await, Some(5.0));
    assert_eq!(jumps(&service.api, "recovered").await, Some(0.0));
    assert!(service.said().contains("no message at offset 20"));
    // No evidence was lost: nothing was removed.
    let lost = "throughline_kafka_lost_messages_total";
    assert_eq!(service.api.metric(lost).await, Some(0.0));
}

//! Tansu, a broker of its own that speaks Kafka's protocol. It assigns offsets before it has stored the messages,
//! and may meanwhile send later ones.

use nix::sys::signal::Signal;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::FutureRecord,
};
use tokio::task::JoinSet;

use super::{SpanLog, TOPIC, WITHIN, has_read};
use crate::support::{
    api::until, app::good, broker::Broker, database::TestDatabase, workload::Workload,
};

const PARTITIONS: i32 = 4;
const WRITERS: usize = 16;
const ORDERS: usize = 4_000;

async fn topic_on(broker: &Broker) -> SpanLog {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &broker.url)
        .create()
        .unwrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await;
    assert_eq!(created.unwrap(), [Ok(TOPIC.to_owned())]);
    SpanLog {
        brokers: broker.url.clone(),
        partitions: PARTITIONS,
    }
}

/// Writes messages as many at the same time.
async fn write_at_once(log: &SpanLog, messages: &[Vec<u8>]) {
    let mut writers = JoinSet::new();
    for part in messages.chunks(messages.len().div_ceil(WRITERS)) {
        let (producer, part) = (log.producer("lz4"), part.to_vec());
        writers.spawn(async move {
            for (message, nth) in part.iter().zip(0..) {
                let record = FutureRecord::<[u8], _>::to(TOPIC)
                    .partition(nth % PARTITIONS)
                    .payload(message);
                let written = producer.send(record, WITHIN).await;
                written.map_err(|(error, _)| error).unwrap();
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_lost_of_what_many_write_at_once_while_replicas_come_and_go() {
    let (broker, database) = (Broker::tansu().await, TestDatabase::create().await);
    let log = topic_on(&broker).await;
    let orders = Workload::good(ORDERS, 1).requests;
    let (before, after) = orders.split_at(ORDERS / 2);
    let (one, other) = (log.site(&database), log.site(&database));
    let (first, second) = tokio::join!(one.start(), other.start());
    write_at_once(&log, before).await;
    until("messages that are read", async || {
        let mut read = 0.0;
        for service in [&first, &second] {
            let committed = "throughline_kafka_messages_total{result=\"committed\"}";
            read += service.api.metric(committed).await.unwrap_or_default();
        }
        (read > 0.0).then_some(())
    })
    .await;
    first.signal(Signal::SIGTERM);
    write_at_once(&log, after).await;
    let (status, said) = first.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    has_read(&second.api, 1).await;
    let expected = good(i64::try_from(ORDERS).unwrap());
    second.api.counts_become("orders", expected).await;
}

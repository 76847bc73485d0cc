//! Messages that cannot be read, and a topic of dead letters that cannot be written either.

use rdkafka::{
    Message as _,
    message::{Header, Headers as _, OwnedHeaders},
    producer::FutureRecord,
};
use tokio::time::timeout;

use super::{Cluster, DEAD_LETTERS, TOPIC, WITHIN, replicas::all_are_committed};
use crate::support::{
    api::{LONG_ENOUGH, until},
    app::good,
    database::TestDatabase,
    workload::Workload,
};

const POISON: &[u8] = b"this was never OTLP";

#[tokio::test]
async fn a_topic_of_dead_letters_without_a_leader_delays_reading_once() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let leader = |broker| cluster.mock.partition_leader(DEAD_LETTERS, 0, broker);
    leader(None).unwrap();
    let site = cluster
        .site(&database)
        .flag("--kafka-dead-letter-topic", DEAD_LETTERS);
    let service = site.start().await;
    // Many in one batch, and many batches after it.
    let mut messages = vec![POISON.to_vec(); 40];
    messages.extend(Workload::good(40, 1).requests);
    let all_is_read = async {
        cluster.write(&messages).await;
        all_are_committed(&database, messages.len()).await;
        for nth in 1..=5 {
            cluster.write(&[POISON.to_vec()]).await;
            all_are_committed(&database, messages.len() + nth).await;
        }
    };
    timeout(LONG_ENOUGH, all_is_read)
        .await
        .expect("it waits once, and not for each message");
    service.api.counts_become("orders", good(40)).await;
    let failed = "throughline_kafka_dead_letters_total{result=\"failed\"}";
    until("all that failed", async || {
        (service.api.metric(failed).await == Some(45.0)).then_some(())
    })
    .await;
    // It is noticed when the topic can be written again.
    leader(Some(1)).unwrap();
    let stored = "throughline_kafka_dead_letters_total{result=\"stored\"}";
    until("one that is stored", async || {
        cluster.write(&[POISON.to_vec()]).await;
        (service.api.metric(stored).await? > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_has_its_key_and_its_headers() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = cluster
        .site(&database)
        .flag("--kafka-dead-letter-topic", DEAD_LETTERS);
    let _service = site.start().await;
    let tenant = Header {
        key: "tenant",
        value: Some("acme"),
    };
    let record = FutureRecord::to(TOPIC)
        .key("order")
        .payload(POISON)
        .headers(OwnedHeaders::new().insert(tenant));
    let written = cluster.producer("none").send(record, WITHIN).await;
    written.map_err(|(error, _)| error).unwrap();
    let letters = cluster.dead_letters(1).await;
    assert_eq!(letters[0].key(), Some(&b"order"[..]));
    let headers = letters[0].headers().unwrap();
    let keys: Vec<_> = headers.iter().map(|header| header.key).collect();
    assert_eq!(
        keys,
        [
            "tenant",
            "throughline.error",
            "throughline.topic",
            "throughline.partition",
            "throughline.offset"
        ]
    );
    assert_eq!(headers.get(0).value, Some(&b"acme"[..]));
}

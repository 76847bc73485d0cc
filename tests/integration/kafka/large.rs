//! Messages of 50 MB. Each is the first of its partition, as the cluster keeps 5 MB of one, and cannot say where
//! it begins once it has removed all of it.

use prost::encoding::encode_varint;
use rdkafka::{
    Message as _,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::{Cluster, DEAD_LETTERS, has_read, replicas::all_are_committed};
use crate::support::{
    api::{Api, until},
    app::good,
    database::TestDatabase,
    workload::Workload,
};

/// With a field that OTLP does not know, of so many bytes.
fn enlarged(message: &[u8], bytes: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message.extend([0xfa, 0x01]);
    encode_varint(bytes as u64, &mut message);
    message.resize(message.len() + bytes, 0);
    message
}

async fn letters_are(api: &Api, result: &str, count: f64) {
    let letters = format!("throughline_kafka_dead_letters_total{{result=\"{result}\"}}");
    until(&letters, async || {
        (api.metric(&letters).await == Some(count)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_of_50_mb_is_read_a_larger_one_is_set_aside_and_reading_goes_on() {
    let (cluster, database) = (Cluster::new(3), TestDatabase::create().await);
    let site = cluster
        .site(&database)
        .flag("--kafka-dead-letter-topic", DEAD_LETTERS);
    let service = site.start().await;
    let before = service.peak_mib();
    let orders = Workload::good(4, 1).requests;
    let sizes = [50_000_000, 70_000_000, 0];
    let messages = sizes.into_iter().zip(&orders);
    let messages: Vec<_> = messages
        .map(|(size, order)| enlarged(order, size))
        .collect();
    cluster.write(&messages).await;
    all_are_committed(&database, 3).await;
    has_read(&service.api, 2).await;
    service.api.counts_become("orders", good(2)).await;
    letters_are(&service.api, "stored", 1.0).await;
    let letters = cluster.dead_letters(1).await;
    assert!(letters[0].payload().unwrap().len() > 70_000_000);
    let grown = service.peak_mib() - before;
    println!("memory grew by {grown} MiB");
    assert!(grown < 4 * 70, "{grown} MiB");
}

#[tokio::test]
async fn a_message_that_the_topic_of_dead_letters_refuses_is_counted_and_delays_no_other() {
    let (cluster, database) = (Cluster::new(7), TestDatabase::create().await);
    let mut messages = vec![vec![0; 50_000_000]];
    messages.extend(Workload::good(5, 2).requests);
    messages.push(b"this was never OTLP".to_vec());
    cluster.write(&messages).await;
    // As with a smaller `max.message.bytes`.
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let producing = RDKafkaApiKey::Produce;
    cluster.mock.request_errors(producing, &[refused]);
    let site = cluster
        .site(&database)
        .flag("--kafka-dead-letter-topic", DEAD_LETTERS);
    let service = site.start().await;
    service.api.counts_become("orders", good(5)).await;
    letters_are(&service.api, "failed", 1.0).await;
    letters_are(&service.api, "stored", 1.0).await;
}

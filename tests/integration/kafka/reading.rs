//! What is read, and what is set aside.

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rdkafka::{Message as _, message::Headers as _, producer::FutureRecord};

use super::{Cluster, DEAD_LETTERS, TOPIC, WITHIN, has_read};
use crate::support::{
    api::until,
    app::good,
    database::TestDatabase,
    service::Site,
    workload::{ORDERS, Workload},
};

fn as_json(request: &[u8]) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(request).unwrap();
    serde_json::to_vec(&request).unwrap()
}

fn one_of_both(nth: usize, request: Vec<u8>) -> Vec<u8> {
    if nth.is_multiple_of(2) {
        request
    } else {
        as_json(&request)
    }
}

#[tokio::test]
async fn messages_of_both_encodings_and_of_all_compressions_are_read() {
    let (cluster, database) = (Cluster::new(3), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    let compressions = ["none", "gzip", "snappy", "lz4", "zstd"];
    for (compression, seed) in compressions.into_iter().zip(0..) {
        let producer = cluster.producer(compression);
        for (nth, request) in Workload::good(20, seed).requests.into_iter().enumerate() {
            let message = one_of_both(nth, request);
            let record = FutureRecord::<[u8], _>::to(TOPIC).payload(&message);
            let written = producer.send(record, WITHIN).await;
            written.map_err(|(error, _)| error).unwrap();
        }
    }
    service.api.counts_become("orders", good(100)).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_set_aside_and_costs_no_other() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = cluster
        .site(&database)
        .flag("--kafka-dead-letter-topic", DEAD_LETTERS)
        .flag("--max-request-mib", "1");
    let service = site.start().await;
    let orders = Workload::good(40, 1).requests;
    let whole = &orders[0];
    let mut messages = orders.clone();
    messages.insert(7, b"this was never OTLP".to_vec());
    messages.insert(20, whole[..whole.len() - 3].to_vec());
    messages.insert(21, b"{\"resourceLogs\":[{}]}".to_vec());
    messages.push(vec![0; 2 << 20]);
    messages.push(Vec::new());
    cluster.write(&messages).await;
    service.api.counts_become("orders", good(40)).await;

    let letters = cluster.dead_letters(4).await;
    let header = |nth: usize, name: &str| {
        let headers = letters[nth].headers().unwrap();
        let found = headers.iter().find(|header| header.key == name).unwrap();
        String::from_utf8(found.value.unwrap().to_vec()).unwrap()
    };
    assert_eq!(letters.len(), 4);
    assert_eq!(letters[0].payload(), Some(&b"this was never OTLP"[..]));
    assert_eq!(header(0, "throughline.offset"), "7");
    assert_eq!(header(0, "throughline.topic"), TOPIC);
    assert!(header(2, "throughline.error").contains("these look like logs"));
    assert!(header(3, "throughline.error").contains("larger than the limit"));
    for (sample, count) in [
        ("messages_total{result=\"committed\"}", 41.0),
        ("messages_total{result=\"malformed\"}", 3.0),
        ("messages_total{result=\"too_large\"}", 1.0),
        ("dead_letters_total{result=\"stored\"}", 4.0),
    ] {
        let sample = format!("throughline_kafka_{sample}");
        assert_eq!(service.api.metric(&sample).await, Some(count), "{sample}");
    }
    // Those that come later are read as ever.
    cluster.write(&Workload::good(5, 2).requests).await;
    service.api.counts_become("orders", good(45)).await;
}

#[tokio::test]
async fn without_a_topic_for_them_unreadable_messages_are_counted_and_named_in_the_log() {
    let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    cluster.write(&[b"nonsense".to_vec()]).await;
    cluster.write(&Workload::good(5, 3).requests).await;
    service.api.counts_become("orders", good(5)).await;
    has_read(&service.api, 5).await;
    let dropped = "throughline_kafka_dead_letters_total{result=\"dropped\"}";
    assert_eq!(service.api.metric(dropped).await, Some(1.0));
    assert!(service.said().contains("set a message of Kafka aside"));
}

#[tokio::test]
async fn the_lag_is_in_the_metrics_and_on_the_overview() {
    let (cluster, database) = (Cluster::new(2), TestDatabase::create().await);
    let site = cluster.site(&database);
    let service = site.start().await;
    cluster.write(&Workload::good(20, 1).requests).await;
    service.api.counts_become("orders", good(20)).await;
    let lag = |partition: u8| {
        format!("throughline_kafka_lag_messages{{partition=\"{partition}\",topic=\"{TOPIC}\"}}")
    };
    has_read(&service.api, 20).await;
    until("no lag", async || {
        for partition in [0, 1] {
            let lag = service.api.metric(&lag(partition)).await;
            lag.filter(|lag| *lag == 0.0)?;
        }
        Some(())
    })
    .await;
    let page = service.api.text("/").await;
    assert!(
        page.contains("<dt>0</dt><dd>messages wait in Kafka, which is read up to"),
        "{page}"
    );

    // As a replica that reads too slowly would store it.
    service.signal(Signal::SIGTERM);
    service.ended().await;
    let site = Site::on(&database, ORDERS);
    let service = site.start().await;
    for (partition, lag) in [(0, 1_200), (1, 34)] {
        sqlx::query(
            "update kafka_partitions set end_offset = next_offset + $2 where partition = $1",
        )
        .bind(partition)
        .bind(i64::from(lag))
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    }
    assert_eq!(service.api.metric(&lag(0)).await, Some(1_200.0));
    assert_eq!(service.api.metric(&lag(1)).await, Some(34.0));
    let view = service.api.json("/api/v1/slos").await;
    assert_eq!(view["kafka"]["lag"], 1_234, "{view}");
    let page = service.api.text("/").await;
    assert!(
        page.contains("<dt>1,234</dt><dd>messages wait in Kafka"),
        "{page}"
    );
}

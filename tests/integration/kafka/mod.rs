//! Spans from Kafka: the cluster that librdkafka brings along for tests, which speaks Kafka's protocol on
//! a port of its own and belongs to the test.

pub(crate) mod catch_up;
mod clocks;
mod day;
mod dead_letters;
mod doctor;
mod forgotten;
mod installations;
mod jumps;
mod large;
mod logins;
mod lost;
mod outage;
mod problems;
mod reading;
mod replaced;
mod replay;
mod replicas;
mod tansu;
mod tls;

use std::{ops::Deref, time::Duration};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    message::OwnedMessage,
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
};

use throughline::domain::model::time::Timestamp;

use crate::support::{
    api::{Api, until},
    database::TestDatabase,
    service::Site,
    workload::{ORDERS, now},
};

const TOPIC: &str = "otlp_spans";
const DEAD_LETTERS: &str = "otlp_spans_dead";
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    log: SpanLog,
}

/// The brokers as clients see them.
pub(crate) struct SpanLog {
    pub(crate) brokers: String,
    partitions: i32,
}

impl Cluster {
    pub(crate) fn new(partitions: i32) -> Self {
        let cluster = Self::without_topic(partitions);
        cluster.mock.create_topic(TOPIC, partitions, 1).unwrap();
        cluster.mock.create_topic(DEAD_LETTERS, 1, 1).unwrap();
        cluster
    }

    fn without_topic(partitions: i32) -> Self {
        let mock = MockCluster::new(1).unwrap();
        let brokers = mock.bootstrap_servers();
        Self {
            mock,
            log: SpanLog {
                brokers,
                partitions,
            },
        }
    }
}

impl Deref for Cluster {
    type Target = SpanLog;

    fn deref(&self) -> &SpanLog {
        &self.log
    }
}

impl SpanLog {
    fn flags(&self) -> Vec<String> {
        vec![format!("--kafka-brokers={}", self.brokers)]
    }

    /// A service that reads the topic.
    fn site(&self, database: &TestDatabase) -> Site {
        Site::on(database, ORDERS).flag("--kafka-brokers", &self.brokers)
    }

    fn producer(&self, compression: &str) -> FutureProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("compression.type", compression)
            .set("message.max.bytes", "100000000")
            .create()
            .unwrap()
    }

    /// Writes messages to all partitions in turn.
    pub(crate) async fn write(&self, messages: &[Vec<u8>]) {
        let at = now();
        self.write_at(messages, |_| at).await;
    }

    /// With a time for each.
    async fn write_at(&self, messages: &[Vec<u8>], at: impl Fn(u32) -> Timestamp) {
        let producer = self.producer("none");
        let mut writing = Vec::new();
        for (message, nth) in messages.iter().zip(0..) {
            let record = FutureRecord::<[u8], _>::to(TOPIC)
                .partition(nth % self.partitions)
                .timestamp(at(nth.unsigned_abs()).as_micros() / 1_000)
                .payload(message);
            writing.push(
                producer
                    .send_result(record)
                    .map_err(|(error, _)| error)
                    .unwrap(),
            );
        }
        for delivery in writing {
            delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// So many messages of the topic of dead letters.
    async fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "test")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[DEAD_LETTERS]).unwrap();
        let mut letters = Vec::new();
        until("dead letters", async || {
            while let Some(message) = consumer.poll(Duration::ZERO) {
                letters.push(message.unwrap().detach());
            }
            (letters.len() >= count).then_some(())
        })
        .await;
        letters
    }
}

/// Whether so many messages were committed by a replica.
pub(crate) async fn has_read(api: &Api, messages: usize) {
    let wanted = f64::from(u32::try_from(messages).unwrap());
    until("messages that are read", async || {
        let read = api.metric("throughline_kafka_messages_total{result=\"committed\"}");
        (read.await? >= wanted).then_some(())
    })
    .await;
}

/// What the replicas say of Kafka.
async fn problems(database: &TestDatabase) -> String {
    sqlx::query_scalar(
        "select coalesce(string_agg(array_to_string(kafka_problems, ' '), ' '), '') from replicas",
    )
    .fetch_one(&mut database.connect().await)
    .await
    .unwrap()
}

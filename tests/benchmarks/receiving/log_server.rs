//! The product's consumer of Kafka. Its load is in the topic before its cost is counted, and the brokers, which
//! librdkafka brings along, have a thread of their own.

use std::{cell::Cell, time::Duration};

use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};
use throughline::{
    clock::Clock,
    ingest::{
        Ingest,
        kafka::{KafkaParts, KafkaSettings, KafkaSource},
        limits::ReceiverLimits,
    },
    store::Store,
    telemetry::metrics::{KafkaMetrics, Metrics},
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::watch,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BROKERS, SENDERS, cpu_beside_sending, cpu_of,
    load::{Encoding, Load},
    requests_a_sender,
};

/// How the names of threads of librdkafka begin.
const CLIENT: &str = "rdk:";
const TOPIC: &str = "otlp_spans";
/// A partition of these brokers keeps 5 MiB, so that these are all there in a round.
const REQUESTS_A_PARTITION: u32 = 8;
const LOOKED_AT_EVERY: Duration = Duration::from_millis(5);

pub(super) struct LogServer {
    runtime: Handle,
    _cluster: MockCluster<'static, DefaultProducerContext>,
    brokers: String,
    compression: &'static str,
    consumer: Ingest,
    store: Store,
    metrics: KafkaMetrics,
    /// What all threads have done in all rounds, and what those of librdkafka have.
    spent: Cell<[Duration; 2]>,
}

impl LogServer {
    pub(super) fn new(
        runtime: &Runtime,
        (consumer, store): (Ingest, Store),
        encoding: Encoding,
    ) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let partitions = i32::try_from(SENDERS * partitions_a_sender()).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        Self {
            runtime: runtime.handle().clone(),
            brokers: cluster.bootstrap_servers(),
            _cluster: cluster,
            compression: match encoding {
                Encoding::Plain => "none",
                Encoding::Gzip => "gzip",
            },
            consumer,
            store,
            metrics: Metrics::new().unwrap().kafka,
            spent: Cell::default(),
        }
    }

    /// Reads one round, and returns what this process did meanwhile.
    pub(super) fn read(&self, loads: &mut [Load]) -> Duration {
        self.write(loads);
        let before = [cpu_beside_sending(), client_cpu()];
        let wanted = self.committed() + u64::from(SENDERS * requests_a_sender());
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        self.runtime.block_on(async {
            let source = KafkaSource::start(self.parts(), &tasks, &shutdown);
            let source = source.await.unwrap();
            while self.committed() < wanted {
                sleep(LOOKED_AT_EVERY).await;
            }
            // Before its threads end, and take their account with them.
            let after = [cpu_beside_sending(), client_cpu()];
            let spent = [0, 1].map(|of| after[of].saturating_sub(before[of]));
            let so_far = self.spent.get();
            self.spent.set([0, 1].map(|of| so_far[of] + spent[of]));
            shutdown.cancel();
            tasks.close();
            tasks.wait().await;
            drop(source);
            spent[0]
        })
    }

    /// Returns which part of the CPU threads of librdkafka took. What it does in the thread that polls is in
    /// the other part.
    pub(super) fn client_share(&self) -> f64 {
        let [all, client] = self.spent.get();
        client.as_secs_f64() / all.as_secs_f64()
    }

    fn write(&self, loads: &mut [Load]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("compression.type", self.compression)
            .create()
            .unwrap();
        for (sender, load) in (0..).zip(loads) {
            for nth in 0..requests_a_sender() {
                let message = load.message();
                let partition = sender * partitions_a_sender() + nth / REQUESTS_A_PARTITION;
                let partition = i32::try_from(partition).unwrap();
                let record = BaseRecord::<[u8], _>::to(TOPIC);
                let record = record.partition(partition).payload(&message);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(Duration::from_mins(1)).unwrap();
    }

    fn committed(&self) -> u64 {
        self.metrics.messages()["committed"]
    }

    fn parts(&self) -> KafkaParts<Ingest> {
        KafkaParts {
            config: KafkaSettings {
                brokers: vec![self.brokers.clone()],
                topic: TOPIC.to_owned(),
                group: "throughline".to_owned(),
                dead_letter_topic: None,
                tls: false,
                ca: None,
                client_cert: None,
                client_key: None,
                sasl: None,
            },
            trace_consumer: self.consumer.clone(),
            limits: ReceiverLimits::default(),
            store: self.store.clone(),
            clock: Clock::System,
            metrics: self.metrics.clone(),
            problems: watch::Sender::new(Vec::new()),
        }
    }
}

fn partitions_a_sender() -> u32 {
    requests_a_sender().div_ceil(REQUESTS_A_PARTITION)
}

fn client_cpu() -> Duration {
    cpu_of(|thread| thread.starts_with(CLIENT) && thread != BROKERS)
}

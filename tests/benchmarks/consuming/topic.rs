//! A topic with workflows: one message for the start of each, and one for its end.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};

const NAME: &str = "otlp_spans";
/// Each keeps 5 MiB.
const PARTITIONS: i32 = 16;
/// An end follows its start after so many other workflows.
const BEHIND: usize = 500;

/// In which partition a message is.
#[derive(Clone, Copy)]
pub(super) enum TopicKeys {
    /// All of a trace in one, as with `partition_traces_by_id`.
    Trace,
    Random,
}

impl TopicKeys {
    pub(super) const ALL: [Self; 2] = [Self::Trace, Self::Random];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "by_trace",
            Self::Random => "at_random",
        }
    }

    fn partition(self, trace: u128) -> i32 {
        match self {
            Self::Trace => i32::try_from(trace % 16).unwrap(),
            Self::Random => rand::random_range(0..PARTITIONS),
        }
    }
}

pub(super) struct Topic {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    brokers: String,
}

impl Topic {
    pub(super) fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(NAME, PARTITIONS, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        Self {
            _cluster: cluster,
            brokers,
        }
    }

    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Writes all messages.
    pub(super) fn write(&self, workflows: usize, keys: TopicKeys) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("queue.buffering.max.messages", "10000000")
            .create()
            .unwrap();
        let traces: Vec<u128> = (0..workflows).map(|_| rand::random()).collect();
        let send = |name: &str, trace: u128| {
            let message = message(name, trace);
            let record = BaseRecord::<[u8], _>::to(NAME)
                .partition(keys.partition(trace))
                .payload(&message);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        };
        for (nth, trace) in traces.iter().enumerate() {
            send("order placed", *trace);
            if let Some(earlier) = nth.checked_sub(BEHIND) {
                send("order confirmed", traces[earlier]);
            }
            producer.poll(Duration::ZERO);
        }
        for trace in &traces[workflows.saturating_sub(BEHIND)..] {
            send("order confirmed", *trace);
        }
        producer.flush(Duration::from_mins(1)).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
fn message(name: &str, trace: u128) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = u64::try_from(now.unwrap().as_nanos()).unwrap();
    let span = Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: name.to_owned(),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

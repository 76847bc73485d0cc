//! Senders that behave as the Collector's exporter: a time-out of 5 s, retries until they succeed,
//! and a queue that drops what exceeds it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use prost::Message as _;
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use super::support::unless_short;

const SPANS_A_REQUEST: usize = 512;
/// Requests that are under way at once where as many are sent as are taken.
const IN_FLIGHT: usize = 64;
/// The size of the Collector's sending queue.
const QUEUE: usize = 1_000;
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
/// The Collector's defaults.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How much is sent.
#[derive(Clone, Copy)]
pub(super) enum Offered {
    /// The next request when one was taken.
    AsTaken,
    /// Workflows a second, whatever is taken.
    PerSecond(f64),
}

#[derive(Clone)]
pub(super) struct Senders {
    client: reqwest::Client,
    url: String,
    taken: Arc<AtomicUsize>,
    /// How long each successful reply took.
    replies: Arc<Mutex<Vec<Duration>>>,
}

impl Senders {
    pub(super) fn to(otlp: SocketAddr) -> Self {
        // Fails only if there is one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
        Self {
            client,
            url: format!("http://{otlp}/v1/traces"),
            taken: Arc::default(),
            replies: Arc::default(),
        }
    }

    /// Returns the times of the replies since the last call.
    pub(super) fn take_replies(&self) -> Vec<Duration> {
        std::mem::take(&mut self.replies.lock().unwrap())
    }

    /// Sends for a while, and returns how many workflows a second were taken.
    pub(super) async fn send(&self, offered: Offered) -> f64 {
        let mut tasks = JoinSet::new();
        match offered {
            Offered::AsTaken => {
                for _ in 0..IN_FLIGHT {
                    tasks.spawn(self.clone().send_on_and_on());
                }
            }
            Offered::PerSecond(workflows) => {
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let pause = SPANS_A_REQUEST as f64 / workflows;
                tasks.spawn(self.clone().send_each(Duration::from_secs_f64(pause)));
            }
        }
        time::sleep(warm_up()).await;
        let (before, began) = (self.taken.load(Ordering::SeqCst), Instant::now());
        time::sleep(measured()).await;
        let taken = self.taken.load(Ordering::SeqCst) - before;
        let seconds = began.elapsed().as_secs_f64();
        tasks.shutdown().await;
        // What the service still holds must not be counted to the next.
        time::sleep(warm_up()).await;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let taken = (taken * SPANS_A_REQUEST) as f64;
        taken / seconds
    }

    async fn send_on_and_on(self) {
        loop {
            self.clone().send_one().await;
        }
    }

    async fn send_each(self, pause: Duration) {
        let mut queue = JoinSet::new();
        let mut interval = time::interval(pause);
        loop {
            interval.tick().await;
            while queue.try_join_next().is_some() {}
            if queue.len() < QUEUE {
                queue.spawn(self.clone().send_one());
            }
        }
    }

    /// One request, until it is taken.
    async fn send_one(self) {
        let body = bytes::Bytes::from(request());
        loop {
            let request = self
                .client
                .post(&self.url)
                .header("content-type", "application/x-protobuf")
                .body(body.clone());
            let began = Instant::now();
            match request.send().await.map(|answer| answer.status().as_u16()) {
                Ok(200) => {
                    self.replies.lock().unwrap().push(began.elapsed());
                    break;
                }
                Ok(503) | Err(_) => {
                    let jitter = rand::random_range(0.5..1.5);
                    time::sleep(RETRY_AFTER.mul_f64(jitter)).await;
                }
                Ok(refused) => unreachable!("{refused}"),
            }
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
    }
}

fn warm_up() -> Duration {
    unless_short(WARM_UP, Duration::from_secs(2))
}

fn measured() -> Duration {
    unless_short(MEASURED, Duration::from_secs(5))
}

/// How long one kind of load takes, until it ends.
pub(super) fn duration() -> Duration {
    warm_up() + measured()
}

#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
fn request() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = u64::try_from(now.unwrap().as_nanos()).unwrap();
    let start = || Span {
        trace_id: rand::random::<[u8; 16]>().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: "order placed".to_owned(),
        kind: SpanKind::Producer.into(),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: (0..SPANS_A_REQUEST).map(|_| start()).collect(),
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

//! A receiver of both protocols on free ports, with a door that remembers and fails on command.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prometheus::TextEncoder;
use prost::Message as _;
use throughline::{
    domain::model::span::SpanView,
    ingest::{
        Rejection, Unavailable,
        consumer::{CommitError, TraceConsumer},
        grpc, http,
        receiver::Receiver,
        refused::RejectedSenders,
        server::{cors::AllowedOrigins, limits::ReceiverLimits, senders::SenderAccess},
        unreadable::SpansWithFaults,
    },
    telemetry::metrics::Metrics,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the door does with a batch.
#[derive(Clone, Debug, Default)]
pub(crate) enum Commits {
    #[default]
    AtOnce,
    /// Not: the database is away.
    Never,
    /// As soon as the semaphore gives a permit.
    When(Arc<Semaphore>),
    /// Not until it has said once that other definitions came into force.
    AfterNews(Arc<AtomicBool>),
}

/// Keeps the names of the spans that it committed, and refuses those whose name begins with
/// `refuse`. At one named `panic` it panics.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordingDoor {
    commits: Commits,
    names: Arc<Mutex<Vec<String>>>,
    arrived: Arc<Notify>,
}

impl TraceConsumer for RecordingDoor {
    type Batch = Vec<String>;

    fn begin(&self) -> Vec<String> {
        Vec::new()
    }

    fn take(&self, span: &dyn SpanView, batch: &mut Vec<String>) -> Result<(), Rejection> {
        assert_ne!(span.name(), "panic");
        if span.name().starts_with("refuse") {
            return Err(Rejection::Malformed(span.name().to_owned()));
        }
        batch.push(span.name().to_owned());
        Ok(())
    }

    fn refuse(&self, _refusal: &Rejection, _batch: &mut Vec<String>) {}

    fn note_faults(&self, _with_faults: SpansWithFaults, _batch: &mut Vec<String>) {}

    async fn commit(&self, batch: Vec<String>) -> Result<(), CommitError> {
        self.arrived.notify_one();
        match &self.commits {
            Commits::AfterNews(is_known) if !is_known.swap(true, Ordering::Relaxed) => {
                return Err(CommitError::Outdated);
            }
            Commits::AtOnce | Commits::AfterNews(_) => {}
            Commits::Never => {
                return Err(CommitError::Unavailable(Unavailable {
                    reason: "the database is away".to_owned(),
                    retry_after: Duration::from_secs(7),
                }));
            }
            Commits::When(ready) => ready.acquire().await.unwrap().forget(),
        }
        self.names.lock().unwrap().extend(batch);
        Ok(())
    }
}

pub(crate) struct Server {
    pub(crate) http: String,
    pub(crate) grpc: String,
    door: RecordingDoor,
    metrics: Metrics,
    pub(super) refused: RejectedSenders,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Commits::AtOnce, ReceiverLimits::default()).await
    }

    pub(super) async fn that_commits(commits: Commits) -> Self {
        Self::with(commits, ReceiverLimits::default()).await
    }

    pub(super) async fn within(limits: ReceiverLimits) -> Self {
        Self::with(Commits::AtOnce, limits).await
    }

    pub(super) async fn with(commits: Commits, limits: ReceiverLimits) -> Self {
        Self::admitting((commits, limits), |_| SenderAccess::default()).await
    }

    pub(crate) async fn admitting(
        (commits, limits): (Commits, ReceiverLimits),
        senders: impl FnOnce(&Metrics) -> SenderAccess,
    ) -> Self {
        let door = RecordingDoor {
            commits,
            ..RecordingDoor::default()
        };
        let metrics = Metrics::new().unwrap();
        let receiver =
            Receiver::new(door.clone(), limits).measured(metrics.requests_answered.clone());
        let receiver = receiver.admitting(senders(&metrics));
        let (http, grpc) = (listener().await, listener().await);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Self {
            http: format!("http://{}", http.local_addr().unwrap()),
            grpc: format!("http://{}", grpc.local_addr().unwrap()),
            door,
            metrics,
            refused: receiver.rejected_senders(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(http::serve(
            http,
            receiver.clone(),
            AllowedOrigins(vec!["https://*.shop.example".to_owned()]),
            stop.clone().cancelled_owned(),
        ));
        tasks.spawn(grpc::serve(grpc, receiver, stop.cancelled_owned()));
        server
    }

    pub(super) fn traces(&self) -> String {
        format!("{}/v1/traces", self.http)
    }

    /// All metrics, as they are scraped.
    pub(super) fn metrics(&self) -> String {
        let families = self.metrics.registered.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap()
    }

    /// How many requests had this result; `None` if it is not shown.
    pub(super) fn requests(&self, result: &str) -> Option<u64> {
        let text = self.metrics();
        let series = format!("throughline_ingest_requests_total{{result=\"{result}\"}} ");
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(&series)?.parse().ok())
    }

    /// The names of all spans committed until now, sorted.
    pub(crate) fn committed(&self) -> Vec<String> {
        let mut names = self.door.names.lock().unwrap().clone();
        names.sort();
        names
    }

    /// Ends when a batch is before the door, committed or not.
    pub(super) async fn has_a_batch(&self) {
        self.door.arrived.notified().await;
    }

    /// Tells both servers to stop; the future ends when they have.
    pub(super) fn stop(&self) -> impl Future<Output = ()> + use<> {
        self.stop.cancel();
        self.tasks.close();
        let tasks = self.tasks.clone();
        async move { tasks.wait().await }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

/// A client that speaks HTTP/1.1.
pub(crate) fn client() -> reqwest::Client {
    builder().build().unwrap()
}

/// A client that speaks HTTP/2 without having asked.
pub(crate) fn h2_client() -> reqwest::Client {
    builder().http2_prior_knowledge().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    // Only the first of all tests installs it; for the others it is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
}

pub(super) fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Span::default()
    }
}

pub(super) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

pub(super) fn body(names: &[&str]) -> Vec<u8> {
    request(names.iter().map(|name| span(name)).collect()).encode_to_vec()
}

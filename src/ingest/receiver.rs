//! The steps of both servers for each request: receive, decompress, read, commit, and reply in
//! time.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{
    Malformed, Rejection, Unavailable,
    admission::{AdmissionControl, AdmissionPermit},
    consumer::{CommitError, TraceConsumer},
    failure::Failure,
    json,
    limits::ReceiverLimits,
    refused::{RejectedSenders, RequestResults},
    reply::Rejections,
    server::{
        body::{self, ContentEncoding},
        senders::SenderAccess,
        slow_commits::{SlowCommitOutcome, SlowCommits},
    },
    wire,
};
use crate::{
    domain::{
        access::AllowedServices,
        model::span::{AttributeScope, SpanView, Value},
    },
    server::{Port, Versions, tls::Tls},
    telemetry::metrics::RequestMetrics,
};

/// The receiver behind both protocols. Clones share its limits, so both together stay within them.
#[derive(Clone, Debug)]
pub struct Receiver<D> {
    consumer: D,
    admission: AdmissionControl,
    limits: Arc<ReceiverLimits>,
    results: RequestResults,
    pub(super) senders: SenderAccess,
    tls: Option<Tls>,
    slow_commits: SlowCommits,
    commits: TaskTracker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFormat {
    Protobuf,
    Json,
}

/// One `ExportTraceServiceRequest` as it arrived.
#[derive(Clone)]
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) encoding: ContentEncoding,
    pub(super) format: RequestFormat,
    /// The services that its sender may send.
    pub(super) services: AllowedServices,
}

impl<D: TraceConsumer> Receiver<D> {
    pub fn new(consumer: D, limits: ReceiverLimits) -> Self {
        Self {
            consumer,
            admission: AdmissionControl::new(&limits),
            limits: Arc::new(limits),
            results: RequestResults::default(),
            senders: SenderAccess::default(),
            tls: None,
            slow_commits: SlowCommits::default(),
            commits: TaskTracker::new(),
        }
    }

    /// Returns the same receiver, which accepts spans of these senders only.
    #[must_use]
    pub fn admitting(self, senders: SenderAccess) -> Self {
        Self { senders, ..self }
    }

    /// Returns the same receiver, with TLS if there is a certificate.
    #[must_use]
    pub fn encrypted(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Returns the same receiver, with its requests measured.
    #[must_use]
    pub fn measured(mut self, metrics: RequestMetrics) -> Self {
        for result in Failure::RESULTS {
            // Exported from zero, so that the first occurrence is visible as a change.
            metrics.ingest(result, 0);
        }
        self.results.metrics = Some(metrics);
        self
    }

    /// Makes a port that serves this receiver, under `name` in metrics.
    pub(super) fn port(&self, name: &'static str, versions: Versions) -> Port {
        let metrics = self.results.metrics.as_ref();
        Port {
            name,
            versions,
            limits: self.limits.connections,
            tls: self.tls.clone(),
            metrics: metrics.map(|metrics| metrics.connections.clone()),
        }
    }

    /// Returns the senders whose whole requests are rejected.
    pub fn rejected_senders(&self) -> RejectedSenders {
        self.results.refused.clone()
    }

    pub(super) fn results(&self) -> RequestResults {
        self.results.clone()
    }

    pub(super) fn enter(&self) -> Result<AdmissionPermit, Failure> {
        Ok(self.admission.enter()?)
    }

    /// Receives a body. `extra` bytes are framing, which the limit does not count.
    pub(super) async fn receive(
        &self,
        body: Body,
        extra: usize,
        admission: &mut AdmissionPermit,
    ) -> Result<Bytes, Failure> {
        let limit = self.limits.body_bytes;
        let until = Instant::now() + self.limits.body_within;
        let mut body = body;
        let receiving = body::receive(&mut body, limit + extra, admission);
        match timeout_at(until, receiving).await {
            Ok(Err(Failure::TooLarge { limit: exceeded })) => {
                body::discard(body, until);
                let limit = exceeded.min(limit);
                Err(Failure::TooLarge { limit })
            }
            Ok(received) => received,
            Err(_) => Err(self.admission.turned_away("the body arrived too slowly"))?,
        }
    }

    /// Reads the spans and commits their evidence. The reply is sent by the deadline even if the
    /// commit is not done: the commit continues, and the sender will send the same again.
    pub(super) async fn take(
        &self,
        payload: Payload,
        admission: AdmissionPermit,
    ) -> Result<Rejections, Failure> {
        let deadline = Instant::now() + self.limits.reply_within;
        let outcome = match self.slow_commits.find(&payload.bytes, &payload.services) {
            Some(first_copy) => first_copy,
            None => self.begin(payload.clone(), admission, deadline),
        };
        let mut settled = outcome.clone();
        match timeout_at(deadline, settled.wait_for(Option::is_some)).await {
            Ok(Ok(settled)) => settled.clone().unwrap_or(Err(Failure::Panicked)),
            Ok(Err(_)) => Err(Failure::Panicked),
            Err(_) => {
                let now = Instant::now();
                self.slow_commits
                    .keep(&payload.bytes, &payload.services, outcome, now);
                Err(self.too_slow().into())
            }
        }
    }

    /// Begins a commit that continues even if its request is dropped.
    fn begin(
        &self,
        payload: Payload,
        admission: AdmissionPermit,
        deadline: Instant,
    ) -> SlowCommitOutcome {
        let (settled, outcome) = watch::channel(None);
        let this = self.clone();
        let committing = async move {
            let result = this.commit(payload, admission, deadline).await;
            settled.send_replace(Some(result));
        };
        self.commits.spawn(committing.in_current_span());
        outcome
    }

    async fn commit(
        &self,
        payload: Payload,
        mut admission: AdmissionPermit,
        deadline: Instant,
    ) -> Result<Rejections, Failure> {
        loop {
            let read = self.read(payload.clone(), admission, deadline).await?;
            let began = Instant::now();
            match self.consumer.commit(read.batch).await {
                Ok(()) => {
                    self.slow_commits.measure(read.spans, began.elapsed());
                    return Ok(read.refusals);
                }
                // Kept until the commit is done, because the batch still occupies memory.
                Err(CommitError::Outdated) => admission = read.admission,
                Err(CommitError::Unavailable(reason) | CommitError::Refused(reason)) => {
                    return Err(reason.into());
                }
            }
        }
    }

    fn too_slow(&self) -> Unavailable {
        let within = self.limits.reply_within;
        let spans = self
            .slow_commits
            .advised_spans(within)
            .map_or_else(String::new, |spans| {
                format!("; requests of at most {spans} spans would be")
            });
        let within = humantime::format_duration(within);
        self.admission.turned_away(&format!(
            "the spans could not be committed within {within}{spans}"
        ))
    }

    async fn read(
        &self,
        payload: Payload,
        admission: AdmissionPermit,
        deadline: Instant,
    ) -> Result<ReadRequest<D::Batch>, Failure> {
        let consumer = self.consumer.clone();
        let limit = self.limits.body_bytes;
        if !payload.is_heavy() {
            return read(&consumer, payload, limit, admission);
        }
        let too_slow = self.too_slow();
        let reading = spawn_blocking(move || {
            // It may have waited long for a thread, and its sender may already have the reply.
            if Instant::now() >= deadline {
                return Err(too_slow.into());
            }
            read(&consumer, payload, limit, admission)
        });
        reading.await.unwrap_or(Err(Failure::Panicked))
    }
}

impl Payload {
    /// Returns whether reading takes longer than the millisecond that other requests on the same
    /// thread may wait.
    fn is_heavy(&self) -> bool {
        let bytes = match (self.format, self.encoding) {
            (RequestFormat::Protobuf, ContentEncoding::Identity) => 512 << 10,
            (RequestFormat::Protobuf, _) => 32 << 10,
            (RequestFormat::Json, _) => 16 << 10,
        };
        self.bytes.len() > bytes
    }
}

/// The contents of a request.
struct ReadRequest<B> {
    batch: B,
    spans: usize,
    refusals: Rejections,
    admission: AdmissionPermit,
}

/// Rejects a span of a service that its sender may not send.
fn check_service(span: &dyn SpanView, services: &AllowedServices) -> Result<(), Rejection> {
    if *services == AllowedServices::All {
        return Ok(());
    }
    let name = match span.attribute(AttributeScope::Resource, "service.name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    };
    if services.allow(name.as_deref()) {
        return Ok(());
    }
    Err(Rejection::ServiceNotAllowed(
        name.unwrap_or_default().into_owned(),
    ))
}

fn read<D: TraceConsumer>(
    consumer: &D,
    payload: Payload,
    limit: usize,
    mut admission: AdmissionPermit,
) -> Result<ReadRequest<D::Batch>, Failure> {
    let bytes = body::decompress(payload.bytes, payload.encoding, limit, &mut admission)?;
    let mut batch = consumer.begin();
    let (format, services) = (payload.format, &payload.services);
    let (spans, refusals) = read_spans(
        consumer,
        &mut batch,
        &bytes,
        format,
        services,
        &mut admission,
    )?;
    Ok(ReadRequest {
        batch,
        spans,
        refusals,
        admission,
    })
}

/// Reads the spans of one message into `batch`. After an error the whole batch must be discarded.
pub(super) fn read_spans<D: TraceConsumer>(
    consumer: &D,
    batch: &mut D::Batch,
    bytes: &[u8],
    format: RequestFormat,
    services: &AllowedServices,
    admission: &mut AdmissionPermit,
) -> Result<(usize, Rejections), Failure> {
    let asked_keys = consumer.asked_keys(batch);
    let mut refusals = Rejections::default();
    let mut spans = 0;
    let mut each = |span: Result<&dyn SpanView, Rejection>| {
        spans += 1;
        let allowed = span.and_then(|span| check_service(span, services).map(|()| span));
        if let Err(refusal) = allowed.and_then(|span| consumer.take(span, batch)) {
            consumer.refuse(&refusal, batch);
            refusals.add(&refusal);
        }
    };
    let with_faults = match format {
        RequestFormat::Protobuf => {
            wire::scan(bytes, &asked_keys, &mut each).map_err(Malformed::from)?
        }
        RequestFormat::Json => {
            admission.charge(json::footprint(bytes))?;
            let report = json::read(bytes, &mut each)?;
            refusals.other_content = report.other_content;
            report.with_faults
        }
    };
    consumer.note_faults(with_faults, batch);
    if refusals.count() > 0 {
        tracing::debug!(spans = refusals.count(), "{refusals}");
    }
    Ok((spans, refusals))
}

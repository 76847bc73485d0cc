//! The consumer of spans: classifies spans and commits the resulting evidence.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use tokio::{sync::watch, time::Instant};

pub use super::failure::CommitError;
use super::{
    Rejection,
    record::Recorder,
    unreadable::{SpansWithFaults, UnreadableValue},
};
use crate::{
    clock::Clock,
    domain::{
        model::{span::SpanView, time::Timestamp},
        traceql::KeyFilter,
        workflow::{
            classify::{ClassifiedBatch, Classifier, InvalidTimestamp, TimeLimits},
            reservoir::SampledAttributes,
            shapes::{SampleCandidate, SharedShapes},
        },
    },
    telemetry::metrics::Metrics,
};

/// Takes spans and commits them. The product has one, [`Ingest`]; the one in tests
/// remembers spans and fails on command.
pub trait TraceConsumer: Clone + Send + Sync + 'static {
    type Batch: Send + 'static;

    /// Makes an empty batch, for the spans of one request.
    fn begin(&self) -> Self::Batch;

    /// Returns the keys of the attributes that every span of the batch will be asked for: a hint, by
    /// which they are found faster. None by default.
    fn asked_keys(&self, _batch: &Self::Batch) -> Arc<KeyFilter> {
        Arc::default()
    }

    /// Adds `span` to `batch`. `Err` rejects this span alone.
    fn take(&self, span: &dyn SpanView, batch: &mut Self::Batch) -> Result<(), Rejection>;

    /// Called for every span of the request that was rejected, by `take` or by the decoder.
    fn refuse(&self, refusal: &Rejection, batch: &mut Self::Batch);

    /// Called with the number of spans of a request with unreadable values.
    fn note_faults(&self, with_faults: SpansWithFaults, batch: &mut Self::Batch);

    /// Commits the batch. After `Ok` its effects are durable. The future may be dropped before it
    /// ends.
    fn commit(&self, batch: Self::Batch) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// The consumer behind both protocols. Clones share everything.
#[derive(Clone, Debug)]
pub struct Ingest {
    parts: Arc<IngestParts>,
}

#[derive(Debug)]
pub struct IngestParts {
    pub classifier: watch::Receiver<Arc<Classifier>>,
    pub recorder: Recorder,
    pub clock: Clock,
    pub limits: TimeLimits,
    pub metrics: Metrics,
    /// Samples of spans, with which definitions are explained.
    pub shapes: SharedShapes,
}

/// The evidence of one request for SLOs, not yet committed. The whole request is read at one time
/// and by one set of definitions.
#[derive(Debug)]
pub struct ClassifiedRequest {
    classifier: Arc<Classifier>,
    now: Timestamp,
    findings: ClassifiedBatch,
    taken: u64,
    /// Spans for the samples.
    looked_at: Vec<SampleCandidate>,
    /// Rejected spans, by the label of the reason.
    refused: BTreeMap<&'static str, u64>,
    with_faults: SpansWithFaults,
}

impl Ingest {
    pub fn new(parts: IngestParts) -> Self {
        // Exported from zero, so that the first occurrence is visible as a change.
        for fault in UnreadableValue::ALL {
            let counter = &parts.metrics.spans_with_unreadable_values;
            counter.with_label_values(&[fault.as_label()]).inc_by(0);
        }
        for reason in Rejection::LABELS {
            let counter = &parts.metrics.spans_rejected;
            counter.with_label_values(&[reason]).inc_by(0);
        }
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Counts spans. Called only once they are committed, so that a batch that is sent again is not
    /// counted again.
    fn count(&self, taken: u64, refused: &BTreeMap<&'static str, u64>) {
        let metrics = &self.parts.metrics;
        for (reason, count) in refused {
            let counter = metrics.spans_rejected.with_label_values(&[*reason]);
            counter.inc_by(*count);
        }
        let spans = taken + refused.values().sum::<u64>();
        metrics.spans_received.inc_by(spans);
        if spans > 0 {
            let now = self.parts.clock.now().as_secs_f64();
            metrics.last_span_timestamp.set(now);
        }
    }
}

impl TraceConsumer for Ingest {
    type Batch = ClassifiedRequest;

    fn begin(&self) -> ClassifiedRequest {
        let classifier = Arc::clone(&self.parts.classifier.borrow());
        ClassifiedRequest {
            now: self.parts.clock.now(),
            findings: ClassifiedBatch {
                definitions: classifier.set(),
                sampling: SampledAttributes::behind(self.parts.recorder.filter()),
                ..ClassifiedBatch::default()
            },
            classifier,
            taken: 0,
            looked_at: Vec::new(),
            refused: BTreeMap::new(),
            with_faults: SpansWithFaults::default(),
        }
    }

    fn asked_keys(&self, batch: &ClassifiedRequest) -> Arc<KeyFilter> {
        Arc::clone(batch.classifier.asked_keys())
    }

    fn take(&self, span: &dyn SpanView, batch: &mut ClassifiedRequest) -> Result<(), Rejection> {
        let limits = &self.parts.limits;
        limits.check(span, batch.now)?;
        batch.taken += 1;
        let hidden = batch.classifier.hidden();
        let looked_at = self.parts.shapes.look(span, hidden, batch.now);
        batch.looked_at.extend(looked_at);
        let horizon = batch.now - limits.horizon;
        batch
            .classifier
            .classify(span, horizon, &mut batch.findings);
        Ok(())
    }

    fn refuse(&self, refusal: &Rejection, batch: &mut ClassifiedRequest) {
        *batch.refused.entry(refusal.as_label()).or_default() += 1;
    }

    fn note_faults(&self, with_faults: SpansWithFaults, batch: &mut ClassifiedRequest) {
        batch.with_faults.add(with_faults);
    }

    async fn commit(&self, mut batch: ClassifiedRequest) -> Result<(), CommitError> {
        let metrics = &self.parts.metrics;
        let matched = batch.findings.evidence.len() as u64;
        let stages = self.parts.recorder.stages();
        let waited = stages.sort(&mut batch.findings, batch.now);
        let began = Instant::now();
        let result = self.parts.recorder.record(batch.findings).await;
        if result.is_err() {
            stages.give_back(waited);
        }
        if result == Err(CommitError::Outdated) {
            let mut classifier = self.parts.classifier.clone();
            let outdated = batch.classifier.set();
            // The channel closes only when the service ends, and then the next commit fails.
            let _news = classifier.wait_for(|newer| newer.set() > outdated).await;
            return result;
        }
        let seconds = began.elapsed().as_secs_f64();
        metrics.ingest_commit_duration.observe(seconds);
        if result.is_ok() {
            metrics.spans_matched.inc_by(matched);
            self.count(batch.taken, &batch.refused);
            self.parts.shapes.add(batch.now, batch.looked_at);
            for (fault, spans) in batch.with_faults.iter() {
                let counter = &metrics.spans_with_unreadable_values;
                counter.with_label_values(&[fault.as_label()]).inc_by(spans);
            }
        }
        result
    }
}

impl From<InvalidTimestamp> for Rejection {
    fn from(absurd: InvalidTimestamp) -> Self {
        match absurd {
            InvalidTimestamp::NoEnd => Self::NoEnd,
            InvalidTimestamp::StartsAfterItEnds => Self::StartsAfterItEnds,
            InvalidTimestamp::InTheFuture(by) => Self::InTheFuture(by),
            InvalidTimestamp::BeforeTheHorizon(by) => Self::TooLate(by),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use prost::Message as _;

    use super::*;
    use crate::{
        clock::ManualClock,
        domain::access::AllowedServices,
        domain::slo::Catalog,
        domain::workflow::watermark::ReplicaId,
        ingest::{
            receiver::{Payload, Receiver, RequestFormat},
            server::{body::ContentEncoding, limits::ReceiverLimits},
        },
        recording::{Committer, KnownLocks, StageKeeper},
        store::{Store, Writer},
    };

    fn now() -> Timestamp {
        Timestamp::from_secs(1_795_328_280)
    }

    /// Makes a consumer without SLOs, so that nothing is recorded.
    fn ingest() -> Ingest {
        let clock = Clock::Manual(ManualClock::new(now()));
        let nothing = Classifier::new(&Catalog::default(), &BTreeMap::new());
        let (_, classifier) = watch::channel(Arc::new(nothing));
        let (_, watermark) = watch::channel(now());
        let store = Store::at("postgres://nowhere", 1).unwrap();
        let stages = StageKeeper::new(store.clone(), classifier.clone(), ReplicaId(0));
        let metrics = Metrics::new().unwrap();
        let committer = Committer {
            store,
            writer: Writer(0),
            clock: clock.clone(),
            classifier: classifier.clone(),
            watermark,
            catch_up: Duration::ZERO,
            stages,
            locks: KnownLocks::default(),
        };
        let (recorder, _) = Recorder::new(committer, metrics.recording.clone());
        Ingest::new(IngestParts {
            classifier,
            recorder,
            clock,
            limits: TimeLimits {
                future: Duration::from_mins(1),
                horizon: Duration::from_hours(1),
                skew: Duration::from_secs(1),
            },
            metrics,
            shapes: SharedShapes::default(),
        })
    }

    fn refused(ingest: &Ingest, reason: &str) -> u64 {
        let counters = &ingest.parts.metrics.spans_rejected;
        counters.with_label_values(&[reason]).get()
    }

    #[tokio::test]
    async fn every_refusal_is_counted_by_its_reason_once_the_request_is_committed() {
        let ingest = ingest();
        let mut batch = ingest.begin();
        for refusal in [Rejection::TraceId, Rejection::TraceId, Rejection::NoEnd] {
            ingest.refuse(&refusal, &mut batch);
        }
        assert_eq!(refused(&ingest, "trace_id"), 0);
        ingest.commit(batch).await.unwrap();
        assert_eq!(refused(&ingest, "trace_id"), 2);
        assert_eq!(refused(&ingest, "no_end"), 1);
        assert_eq!(ingest.parts.metrics.spans_received.get(), 3);
    }

    #[tokio::test]
    async fn what_cannot_even_be_read_is_counted_too() {
        let ingest = ingest();
        let usable = Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            end_time_unix_nano: 1_795_328_280_000_000_000,
            ..Span::default()
        };
        let no_trace_id = Span {
            trace_id: vec![0; 16],
            ..usable.clone()
        };
        let too_late = Span {
            end_time_unix_nano: 1,
            ..usable.clone()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![usable, no_trace_id, too_late],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let payload = Payload {
            bytes: request.encode_to_vec().into(),
            encoding: ContentEncoding::Identity,
            format: RequestFormat::Protobuf,
            services: AllowedServices::All,
        };
        let receiver = Receiver::new(ingest.clone(), ReceiverLimits::default());
        let admission = receiver.enter().unwrap();
        let refusals = receiver.take(payload, admission).await.unwrap();
        assert_eq!(refusals.count(), 2);
        assert_eq!(refused(&ingest, "trace_id"), 1);
        assert_eq!(refused(&ingest, "too_late"), 1);
        assert_eq!(ingest.parts.metrics.spans_received.get(), 3);
    }
}

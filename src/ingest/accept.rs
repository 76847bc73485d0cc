//! The product's door: spans are asked what they say, and the answer is committed.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::watch, time::Instant};

use super::{Refusal, Unavailable, record::Recorder};
use crate::{
    clock::Clock,
    domain::{
        classify::{AbsurdTime, Classifier, Findings, TimeLimits},
        span::SpanView,
    },
    telemetry::metrics::Metrics,
};

/// The door of both protocols. Clones share everything.
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
}

/// What one request says that concerns SLOs, not yet committed.
#[derive(Debug, Default)]
pub struct Batch {
    findings: Findings,
    spans: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Ingest {
    pub fn new(parts: IngestParts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Notes in `batch` what `span` says about any SLO. `Err` refuses this span alone.
    pub fn take(&self, span: &dyn SpanView, batch: &mut Batch) -> Result<(), Refusal> {
        batch.spans += 1;
        let now = self.parts.clock.now();
        if let Err(absurd) = self.parts.limits.check(span, now) {
            let (reason, refusal) = refuse(absurd);
            *batch.refused.entry(reason).or_default() += 1;
            return Err(refusal);
        }
        let horizon = now - self.parts.limits.horizon;
        self.parts
            .classifier
            .borrow()
            .classify(span, horizon, &mut batch.findings);
        Ok(())
    }

    /// Commits the batch; takes at most 2.5 s. After `Ok` its effects are durable. The spans are
    /// counted only then, so that a batch that is sent again is not counted again.
    pub async fn commit(&self, batch: Batch) -> Result<(), Unavailable> {
        let metrics = &self.parts.metrics;
        let matched = batch.findings.evidence.len() as u64;
        let began = Instant::now();
        let result = self.parts.recorder.record(batch.findings).await;
        metrics
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        let label = if result.is_ok() {
            "committed"
        } else {
            "unavailable"
        };
        metrics.requests.with_label_values(&[label]).inc();
        if result.is_ok() {
            metrics.spans_received.inc_by(batch.spans);
            metrics.spans_matched.inc_by(matched);
            for (reason, count) in batch.refused {
                metrics
                    .spans_refused
                    .with_label_values(&[reason])
                    .inc_by(count);
            }
            if batch.spans > 0 {
                metrics
                    .last_span_timestamp
                    .set(self.parts.clock.now().as_secs_f64());
            }
        }
        result
    }
}

fn refuse(absurd: AbsurdTime) -> (&'static str, Refusal) {
    match absurd {
        AbsurdTime::NoEnd => ("no_end", Refusal::NoEnd),
        AbsurdTime::StartsAfterItEnds => ("starts_after_it_ends", Refusal::StartsAfterItEnds),
        AbsurdTime::InTheFuture(by) => ("in_the_future", Refusal::InTheFuture(by)),
        AbsurdTime::BeforeTheHorizon(by) => ("too_late", Refusal::TooLate(by)),
    }
}

//! Exports spans by OTLP, configured by the standard variables of OpenTelemetry; the SDK reads
//! those that `config/` does not.
//!
//! Spans that cannot be exported are dropped and counted. The queue is bounded, the work is done on
//! its own thread, and a long outage is logged at intervals.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::{Context, Key, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _,
    tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::{
        EnvResourceDetector, ResourceDetector as _, SdkProvidedResourceDetector,
        TelemetryResourceDetector,
    },
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData,
        SpanExporter, SpanProcessor,
    },
};
use prometheus::{IntCounter, Registry};
use tokio::time::Instant;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use uuid::Uuid;

use super::metric_builder::MetricReference;
use crate::config::TraceProtocol;

const SERVICE_NAME: &str = "service.name";
/// The limit of spans that wait for export; further ones are dropped.
const QUEUE: usize = 2_048;
/// The time that the end of the process waits for the last spans to be exported.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);
/// The minimum time between two log lines about failures.
const LOGGED_EVERY: Duration = Duration::from_mins(10);

/// The exporter of spans.
#[derive(Debug)]
pub struct SpanExport {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    counts: ExportCounts,
}

/// Counts of ended spans by result.
#[derive(Clone, Debug)]
struct ExportCounts {
    exported: IntCounter,
    dropped: IntCounter,
    waiting: Arc<AtomicUsize>,
}

impl SpanExport {
    /// Makes an exporter. Must be called in a runtime, which OTLP/gRPC uses. Does not connect yet.
    pub(super) fn new(protocol: TraceProtocol) -> anyhow::Result<Self> {
        let counts = ExportCounts::new()?;
        let exporter = CountingExporter {
            inner: exporter(protocol).context("cannot export spans")?,
            counts: counts.clone(),
            log: Mutex::default(),
        };
        let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE);
        let batches = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BoundedProcessor {
                inner: batches,
                counts: counts.clone(),
            })
            .with_resource(resource())
            .build();
        Ok(Self {
            tracer: provider.tracer("throughline"),
            provider,
            counts,
        })
    }

    /// Adds the export's counters to the metrics of the process.
    pub fn register(&self, metrics: &Registry) -> Result<(), prometheus::Error> {
        metrics.register(Box::new(self.counts.exported.clone()))?;
        metrics.register(Box::new(self.counts.dropped.clone()))
    }

    /// Returns the metrics that [`register`](Self::register) adds.
    pub fn reference() -> Result<Vec<MetricReference>, prometheus::Error> {
        let counts = ExportCounts::new()?;
        let counters = [&counts.exported, &counts.dropped];
        Ok(counters.into_iter().flat_map(MetricReference::of).collect())
    }

    /// Exports the waiting spans, for a few seconds at most. Blocks.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSHED_WITHIN) {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }

    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(is_exported).with_max_level_hint(LevelFilter::DEBUG))
    }
}

/// Returns whether a span or event is exported: our own spans at any log level, and errors in them.
/// Libraries have too many spans, and the exporter uses some of these libraries itself.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
    is_ours && (metadata.is_span() || *metadata.level() <= Level::WARN)
}

fn exporter(protocol: TraceProtocol) -> anyhow::Result<OtlpExporter> {
    // Fails only if the process has installed a provider before, which works as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = OtlpExporter::builder();
    Ok(match protocol {
        TraceProtocol::Grpc => builder
            .with_tonic()
            .with_tls_config(ClientTlsConfig::new().with_enabled_roots())
            .build()?,
        TraceProtocol::HttpProtobuf => builder
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .build()?,
    })
}

/// Returns the attributes of this process, unless the variables set them.
fn resource() -> Resource {
    let ours = Resource::builder_empty().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::now_v7().to_string()),
    ]);
    let named = SdkProvidedResourceDetector.detect();
    let is_named = named
        .get(&Key::new(SERVICE_NAME))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let all = ours.with_detectors(&[
        Box::new(TelemetryResourceDetector),
        Box::new(EnvResourceDetector::new()),
        Box::new(SdkProvidedResourceDetector),
    ]);
    if is_named {
        all.build()
    } else {
        all.with_service_name("throughline").build()
    }
}

impl ExportCounts {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            exported: IntCounter::new(
                "throughline_traces_exported_spans_total",
                "Spans of this process that its OTLP endpoint took. Absent where none is set.",
            )?,
            dropped: IntCounter::new(
                "throughline_traces_dropped_spans_total",
                "Spans of this process that could not be exported, or were too many to wait.",
            )?,
            waiting: Arc::default(),
        })
    }
}

/// Accepts no more spans than the queue may hold.
#[derive(Debug)]
struct BoundedProcessor {
    inner: BatchSpanProcessor,
    counts: ExportCounts,
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let waiting = &self.counts.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) < QUEUE {
            self.inner.on_end(span);
        } else {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts the result of each batch, and logs failures at intervals: the SDK would log each.
#[derive(Debug)]
struct CountingExporter<E> {
    inner: E,
    counts: ExportCounts,
    log: Mutex<FailureLog>,
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        let (became, state) = match &result {
            Ok(()) => (&self.counts.exported, ExportState::Working),
            Err(_) => (&self.counts.dropped, ExportState::Failing),
        };
        became.inc_by(spans as u64);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.note(state, Instant::now()) {
            Some(ExportState::Failing) => {
                let error = result.err().map(|error| error.to_string());
                tracing::warn!(
                    error,
                    "spans of this service cannot be exported and are dropped"
                );
            }
            Some(ExportState::Working) => {
                tracing::info!("spans of this service are exported again");
            }
            None => {}
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The last result of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportState {
    Failing,
    Working,
}

/// The time at which a failure was last logged, and whether its end is still to be logged.
#[derive(Debug, Default)]
struct FailureLog {
    logged_at: Option<Instant>,
    is_open: bool,
}

impl FailureLog {
    /// Returns `state` if it is worth a line in the log.
    fn note(&mut self, state: ExportState, now: Instant) -> Option<ExportState> {
        if state == ExportState::Working {
            return std::mem::take(&mut self.is_open).then_some(ExportState::Working);
        }
        let is_due = self
            .logged_at
            .is_none_or(|at| now.duration_since(at) >= LOGGED_EVERY);
        is_due.then(|| {
            self.logged_at = Some(now);
            self.is_open = true;
            ExportState::Failing
        })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer as _};
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    #[derive(Debug)]
    struct Failing;

    impl SpanExporter for Failing {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("nobody there".to_owned()))
        }
    }

    /// Blocks until it is dropped.
    #[derive(Debug)]
    struct Hanging(Mutex<std::sync::mpsc::Receiver<()>>);

    impl SpanExporter for Hanging {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().recv().unwrap_err();
            Ok(())
        }
    }

    fn provider(exporter: impl SpanExporter + 'static, counts: &ExportCounts) -> SdkTracerProvider {
        let exporter = CountingExporter {
            inner: exporter,
            counts: counts.clone(),
            log: Mutex::default(),
        };
        SdkTracerProvider::builder()
            .with_span_processor(BoundedProcessor {
                inner: BatchSpanProcessor::builder(exporter)
                    .with_batch_config(
                        BatchConfigBuilder::default()
                            .with_max_queue_size(QUEUE)
                            .build(),
                    )
                    .build(),
                counts: counts.clone(),
            })
            .build()
    }

    fn end_spans(provider: &SdkTracerProvider, count: usize) {
        let tracer = provider.tracer("test");
        for _ in 0..count {
            tracer.start("span").end();
        }
    }

    #[test]
    fn spans_that_cannot_be_exported_are_counted_as_dropped() {
        let counts = ExportCounts::new().unwrap();
        let provider = provider(Failing, &counts);
        end_spans(&provider, 3);
        provider.shutdown().unwrap();
        assert_eq!((counts.exported.get(), counts.dropped.get()), (0, 3));
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_more_spans_wait_than_the_queue_holds() {
        let (release, hanging) = std::sync::mpsc::channel();
        let counts = ExportCounts::new().unwrap();
        let provider = provider(Hanging(Mutex::new(hanging)), &counts);
        end_spans(&provider, QUEUE + 7);
        assert_eq!(counts.dropped.get(), 7);
        drop(release);
        provider.shutdown().unwrap();
        assert_eq!(counts.exported.get(), QUEUE as u64);
    }

    #[test]
    fn a_long_outage_is_logged_now_and_then_and_its_end_once() {
        let (mut log, began) = (FailureLog::default(), Instant::now());
        let mut is_logged = |state, secs| {
            let logged = log.note(state, began + Duration::from_secs(secs));
            assert!(logged.is_none_or(|logged| logged == state));
            logged.is_some()
        };
        let (works, fails) = (ExportState::Working, ExportState::Failing);
        assert!(!is_logged(works, 0));
        assert!(is_logged(fails, 5));
        assert!(!is_logged(fails, 10));
        assert!(is_logged(works, 15));
        assert!(!is_logged(fails, 20), "it comes and goes");
        assert!(!is_logged(works, 25));
        assert!(is_logged(fails, 605));
    }
}

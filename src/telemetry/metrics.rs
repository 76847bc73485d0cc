//! Every metric of this process. What SLOs say is read from the database at scrape (`web/metrics.rs`)
//! and is the same on every replica; these are not.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

/// Clones share the values.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub registry: Registry,
    /// Spans in well-formed requests, whether or not an SLO selects them.
    pub spans_received: IntCounter,
    /// Spans refused alone, by reason.
    pub spans_refused: IntCounterVec,
    /// Spans that some SLO selected and could use.
    pub spans_matched: IntCounter,
    /// Requests by result: `committed` or `unavailable`.
    pub requests: IntCounterVec,
    /// From the last span read to the commit.
    pub commit_seconds: Histogram,
    /// Seconds since the epoch of the last span received; 0 before the first.
    pub last_span_timestamp: Gauge,
    /// Seconds since the epoch up to which ingest is known to have been healthy.
    pub watermark_timestamp: Gauge,
    /// How long one turn of a loop takes.
    pub tick_seconds: HistogramVec,
    /// Turns of a loop that failed.
    pub tick_failures: IntCounterVec,
    /// Seconds since the epoch of the last turn that succeeded.
    pub last_tick_timestamp: prometheus::GaugeVec,
    /// Attempts to deliver a notification, by target and class of the answer.
    pub delivery_attempts: IntCounterVec,
    /// 1 if the definitions that are in force are those of the files.
    pub definitions_loaded: IntGauge,
}

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let made = Self {
            registry: Registry::new(),
            spans_received: IntCounter::new(
                "throughline_spans_received_total",
                "Spans in well-formed requests, whether or not an SLO selects them.",
            )?,
            spans_refused: IntCounterVec::new(
                Opts::new(
                    "throughline_spans_refused_total",
                    "Spans refused alone, by reason.",
                ),
                &["reason"],
            )?,
            spans_matched: IntCounter::new(
                "throughline_spans_matched_total",
                "Spans that said something of an SLO.",
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "throughline_requests_total",
                    "Requests with spans, by result.",
                ),
                &["result"],
            )?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "throughline_commit_seconds",
                    "From the last span of a request read to its commit.",
                )
                .buckets(vec![
                    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
                ]),
            )?,
            last_span_timestamp: Gauge::new(
                "throughline_last_span_timestamp_seconds",
                "When the last span was received; 0 before the first.",
            )?,
            watermark_timestamp: Gauge::new(
                "throughline_watermark_timestamp_seconds",
                "Up to when ingest is known to have been healthy; deadlines wait for it.",
            )?,
            tick_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "throughline_tick_seconds",
                    "How long one turn of a loop takes.",
                )
                .buckets(vec![0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0]),
                &["loop"],
            )?,
            tick_failures: IntCounterVec::new(
                Opts::new(
                    "throughline_tick_failures_total",
                    "Turns of a loop that failed.",
                ),
                &["loop"],
            )?,
            last_tick_timestamp: prometheus::GaugeVec::new(
                Opts::new(
                    "throughline_last_tick_timestamp_seconds",
                    "When a turn of a loop last succeeded.",
                ),
                &["loop"],
            )?,
            delivery_attempts: IntCounterVec::new(
                Opts::new(
                    "throughline_delivery_attempts_total",
                    "Attempts to deliver a notification, by target and class of the answer.",
                ),
                &["target", "class"],
            )?,
            definitions_loaded: IntGauge::new(
                "throughline_definitions_loaded",
                "1 if the definitions in force are those of the files, 0 if the files have errors.",
            )?,
        };
        made.register()?;
        Ok(made)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let registry = &self.registry;
        registry.register(Box::new(self.spans_received.clone()))?;
        registry.register(Box::new(self.spans_refused.clone()))?;
        registry.register(Box::new(self.spans_matched.clone()))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.commit_seconds.clone()))?;
        registry.register(Box::new(self.last_span_timestamp.clone()))?;
        registry.register(Box::new(self.watermark_timestamp.clone()))?;
        registry.register(Box::new(self.tick_seconds.clone()))?;
        registry.register(Box::new(self.tick_failures.clone()))?;
        registry.register(Box::new(self.last_tick_timestamp.clone()))?;
        registry.register(Box::new(self.delivery_attempts.clone()))?;
        registry.register(Box::new(self.definitions_loaded.clone()))
    }
}

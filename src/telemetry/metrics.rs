//! Every metric of this process. What SLOs say is read from the database at scrape (`web/metrics.rs`)
//! and is the same on every replica; these are not.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    Registry, core::Collector,
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
    pub last_tick_timestamp: GaugeVec,
    /// Transitions of alerts that this process recorded, by kind.
    pub alert_transitions: IntCounterVec,
    /// Evaluations on which nothing was concluded, by reason: `backwards` or `nonsense`.
    pub evaluations_refused: IntCounterVec,
    /// Attempts to deliver a notification, by target, its kind and class of the answer.
    pub delivery_attempts: IntCounterVec,
    /// Seconds since the epoch when some replica last wrote a heartbeat, as far as this one knows.
    pub heartbeat_timestamp: Gauge,
    /// 1 while the heartbeat is withheld.
    pub heartbeat_withheld: Gauge,
    /// 1 for each self-check that is open.
    pub self_checks: GaugeVec,
    /// By how much this replica's clock is ahead of the database's.
    pub clock_ahead: Gauge,
    /// 1 while the database does not answer.
    pub database_away: Gauge,
    /// From an alert's change to the answer of a target that took it.
    pub delivery_seconds: HistogramVec,
    /// Deliveries that the reconciler found missing, by whether they tell a beginning or an end.
    pub reconcile_repairs: IntCounterVec,
    /// 1 if the definitions that are in force are those of the files.
    pub definitions_loaded: Gauge,
}

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let made = Makes(Registry::new());
        Ok(Self {
            spans_received: made.counter(
                "throughline_spans_received_total",
                "Spans in well-formed requests, whether or not an SLO selects them.",
            )?,
            spans_refused: made.counters(
                "throughline_spans_refused_total",
                "Spans refused alone, by reason.",
                &["reason"],
            )?,
            spans_matched: made.counter(
                "throughline_spans_matched_total",
                "Spans that said something of an SLO.",
            )?,
            requests: made.counters(
                "throughline_requests_total",
                "Requests with spans, by result.",
                &["result"],
            )?,
            last_span_timestamp: made.gauge(
                "throughline_last_span_timestamp_seconds",
                "When the last span was received; 0 before the first.",
            )?,
            watermark_timestamp: made.gauge(
                "throughline_watermark_timestamp_seconds",
                "Up to when ingest is known to have been healthy; deadlines wait for it.",
            )?,
            tick_failures: made.counters(
                "throughline_tick_failures_total",
                "Turns of a loop that failed.",
                &["loop"],
            )?,
            alert_transitions: made.alert_transitions()?,
            evaluations_refused: made.evaluations_refused()?,
            delivery_attempts: made.delivery_attempts()?,
            delivery_seconds: made.delivery_seconds()?,
            reconcile_repairs: made.reconcile_repairs()?,
            heartbeat_timestamp: made.heartbeat_timestamp()?,
            heartbeat_withheld: made.heartbeat_withheld()?,
            self_checks: made.self_checks()?,
            clock_ahead: made.clock_ahead()?,
            database_away: made.database_away()?,
            definitions_loaded: made.gauge(
                "throughline_definitions_loaded",
                "1 if the definitions in force are those of the files, 0 if the files have errors.",
            )?,
            commit_seconds: made.commit_seconds()?,
            tick_seconds: made.tick_seconds()?,
            last_tick_timestamp: made.last_tick_timestamp()?,
            registry: made.0,
        })
    }
}

/// Makes metrics and registers each.
struct Makes(Registry);

impl Makes {
    fn register<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help)?)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn alert_transitions(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_alert_transitions_total",
            "Transitions of alerts that this process recorded, by kind.",
            &["kind"],
        )
    }

    fn evaluations_refused(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_evaluations_refused_total",
            "Evaluations on which nothing was concluded: a clock went backwards, or counts cannot be true.",
            &["reason"],
        )
    }

    fn delivery_attempts(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_delivery_attempts_total",
            "Attempts to deliver a notification, by target, its kind and class of the answer.",
            &["target", "kind", "class"],
        )
    }

    fn reconcile_repairs(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_reconcile_repairs_total",
            "Deliveries that the self-check found missing, of a beginning or an end. None ever should be.",
            &["kind"],
        )
    }

    fn heartbeat_timestamp(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_heartbeat_timestamp_seconds",
            "When this replica last sent the heartbeat for all; 0 before the first.",
        )
    }

    fn heartbeat_withheld(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_heartbeat_withheld",
            "1 while something speaks against sending the heartbeat; the page of the targets says what.",
        )
    }

    fn self_checks(&self) -> Result<GaugeVec, prometheus::Error> {
        self.gauges(
            "throughline_self_check_open",
            "1 for each thing that is wrong with the service itself.",
            &["check"],
        )
    }

    fn clock_ahead(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_clock_ahead_seconds",
            "By how much the clock of this replica is ahead of the database's.",
        )
    }

    fn database_away(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_database_away",
            "1 while the database does not answer this replica.",
        )
    }

    fn delivery_seconds(&self) -> Result<HistogramVec, prometheus::Error> {
        let help = "From an alert's change to the answer of the target that took it.";
        // Seconds if all is well, minutes by the retries of a page, hours in an outage.
        let buckets = vec![
            1.0, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
        ];
        let options = HistogramOpts::new("throughline_delivery_seconds", help).buckets(buckets);
        self.register(HistogramVec::new(options, &["target", "kind"])?)
    }

    fn commit_seconds(&self) -> Result<Histogram, prometheus::Error> {
        let help = "From the last span of a request read to its commit.";
        let buckets = vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let options = HistogramOpts::new("throughline_commit_seconds", help).buckets(buckets);
        self.register(Histogram::with_opts(options)?)
    }

    fn tick_seconds(&self) -> Result<HistogramVec, prometheus::Error> {
        let help = "How long one turn of a loop takes.";
        let buckets = vec![0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];
        let options = HistogramOpts::new("throughline_tick_seconds", help).buckets(buckets);
        self.register(HistogramVec::new(options, &["loop"])?)
    }

    fn last_tick_timestamp(&self) -> Result<GaugeVec, prometheus::Error> {
        let help = "When a turn of a loop last succeeded.";
        let options = Opts::new("throughline_last_tick_timestamp_seconds", help);
        self.register(GaugeVec::new(options, &["loop"])?)
    }
}

//! Metrics of this process. Those of SLOs are read from the database at each scrape
//! (`web/metrics/mod.rs`) and are the same on every replica; these are not.

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
};

pub use super::ingest_metrics::{KafkaMetrics, RecordingMetrics, by_label};
use super::metric_builder::{MetricBuilder, RegisteredMetrics};

/// The metrics of this process. Clones share the values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// All of them.
    pub registered: RegisteredMetrics,
    /// Spans in well-formed requests, whether or not an SLO selects them.
    pub spans_received: IntCounter,
    /// Spans rejected one by one, by reason.
    pub spans_rejected: IntCounterVec,
    /// Spans with a value that could not be read as sent, by fault.
    pub spans_with_unreadable_values: IntCounterVec,
    /// Spans that some SLO selected and could use.
    pub spans_matched: IntCounter,
    pub stages: StageMetrics,
    /// The time from the last span read to the commit.
    pub ingest_commit_duration: Histogram,
    /// Seconds since the epoch of the last span received; 0 before the first.
    pub last_span_timestamp: Gauge,
    /// Seconds since the epoch up to which ingest is known to have been healthy.
    pub watermark_timestamp: Gauge,
    pub database: DatabaseMetrics,
    pub requests_answered: RequestMetrics,
    pub kafka: KafkaMetrics,
    pub recording: RecordingMetrics,
    /// The duration of one turn of a loop, by result: `ok` or `failed`.
    pub loop_turns: HistogramVec,
    /// Seconds since the epoch of the last turn that succeeded.
    pub last_tick_timestamp: GaugeVec,
    /// Transitions of alerts that this process recorded, by kind.
    pub alert_transitions: IntCounterVec,
    /// Evaluations without a conclusion, by reason: `clock_went_back` or `inconsistent_counts`.
    pub evaluations_skipped: IntCounterVec,
    /// Attempts to deliver a notification, by target, its kind and the class of the response.
    pub delivery_attempts: IntCounterVec,
    /// Requests whose sender is unknown or lacks a permission, by port and reason.
    auth_failures: IntCounterVec,
    /// Seconds since the epoch when any replica last wrote a heartbeat, as far as this one knows.
    pub heartbeat_timestamp: Gauge,
    /// 1 while the heartbeat is withheld.
    pub heartbeat_withheld: Gauge,
    /// 1 for each self-check that is open.
    pub self_checks: GaugeVec,
    /// The seconds by which this replica's clock is ahead of the database's.
    pub clock_skew: Gauge,
    /// 1 while the database does not answer.
    pub database_unavailable: Gauge,
    /// 1 while the OpenID Connect provider does not answer.
    pub login_provider_unavailable: Gauge,
    /// Seconds since the epoch at which the certificate of a port expires.
    pub certificate_expiry: GaugeVec,
    /// The duration of one delivery attempt, by the kind of its target and the class of the
    /// response.
    pub delivery_attempt_seconds: HistogramVec,
    /// The time from an alert's change to the response of a target that accepted it.
    pub delivery_latency: HistogramVec,
    /// Missing deliveries that the reconciler added: `firing` or `resolved`.
    pub reconciled_deliveries: IntCounterVec,
    /// 1 if the active definitions are those of the files.
    pub definitions_last_reload_successful: Gauge,
}

/// Transactions and connection pools.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    /// The duration of a transaction, by its name and result: `committed`, `rolled_back` or
    /// `failed`.
    pub transactions: HistogramVec,
    /// The time from the request for a connection to the begin of a transaction on it.
    pub waits: Histogram,
    /// Connections by use and state: `idle`, `used`, and `max` for the maximum.
    pub connections: GaugeVec,
}

/// Answered requests, on the port of the pages and on those of OTLP.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    http: HistogramVec,
    rpc: HistogramVec,
    ingest: IntCounterVec,
    /// The connections of the requests.
    pub connections: ConnectionMetrics,
}

/// Connections opened by clients, by port.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    pub open: GaugeVec,
    /// Connections closed because the port or the peer had reached its limit, by reason.
    pub closed: IntCounterVec,
}

impl RequestMetrics {
    /// Counts a request. `route` is an existing route, never the requested path.
    pub fn http(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = [route, method_label(method), &status.to_string()];
        let seconds = self.http.with_label_values(&labels);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts requests of OTLP. `result` is `committed` or the reason for rejection.
    pub fn ingest(&self, result: &str, requests: u64) {
        self.ingest.with_label_values(&[result]).inc_by(requests);
    }

    /// Counts a call. `method` is an existing one, and `code` the name of the gRPC code.
    pub fn rpc(&self, method: &str, code: &str, took: Duration) {
        let seconds = self.rpc.with_label_values(&[method, code]);
        seconds.observe(took.as_secs_f64());
    }
}

/// Stage evidence in memory whose workflow is not known, and evidence that was dropped because too
/// much of it waited.
#[derive(Clone, Debug)]
pub struct StageMetrics {
    waiting: Gauge,
    dropped: IntCounter,
}

impl StageMetrics {
    /// Sets how much waits, and how much was dropped since the start.
    pub fn show(&self, waiting: usize, dropped: u64) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.waiting.set(waiting as f64);
        self.dropped
            .inc_by(dropped.saturating_sub(self.dropped.get()));
    }
}

/// Returns a known method, or one name for all others, which clients may make up.
pub fn method_label(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "CONNECT" | "TRACE" => {
            method
        }
        _ => "_OTHER",
    }
}

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let builder = MetricBuilder::default();
        builder.process()?;
        Ok(Self {
            spans_received: builder.counter(
                "throughline_spans_received_total",
                "Spans in well-formed requests, whether or not an SLO selects them.",
            )?,
            spans_rejected: builder.counters(
                "throughline_spans_rejected_total",
                "Spans rejected one by one, by reason.",
                &["reason"],
            )?,
            spans_with_unreadable_values: builder.counters(
                "throughline_spans_with_unreadable_values_total",
                "Spans with a value that was asked for and could not be read as sent. Text was repaired, other values are absent.",
                &["reason"],
            )?,
            spans_matched: builder.counter(
                "throughline_spans_matched_total",
                "Spans that an SLO selected and could use.",
            )?,
            last_span_timestamp: builder.last_span_timestamp()?,
            watermark_timestamp: builder.gauge(
                "throughline_watermark_timestamp_seconds",
                "Up to when ingest is known to have been healthy; deadlines wait for it.",
            )?,
            database: builder.database()?,
            requests_answered: builder.requests_answered()?,
            kafka: builder.kafka()?,
            recording: builder.recording()?,
            loop_turns: builder.loop_turns()?,
            delivery_attempt_seconds: builder.durations(
                "throughline_delivery_attempt_duration_seconds",
                "How long one attempt to deliver took, by the kind of its target and class of the answer.",
                &["kind", "result"],
            )?,
            alert_transitions: builder.alert_transitions()?,
            evaluations_skipped: builder.evaluations_skipped()?,
            delivery_attempts: builder.delivery_attempts()?,
            delivery_latency: builder.delivery_latency()?,
            reconciled_deliveries: builder.reconciled_deliveries()?,
            auth_failures: builder.auth_failures()?,
            heartbeat_timestamp: builder.heartbeat_timestamp()?,
            heartbeat_withheld: builder.heartbeat_withheld()?,
            self_checks: builder.self_checks()?,
            clock_skew: builder.clock_skew()?,
            database_unavailable: builder.database_unavailable()?,
            login_provider_unavailable: builder.login_provider_unavailable()?,
            certificate_expiry: builder.certificate_expiry()?,
            definitions_last_reload_successful: builder.gauge(
                "throughline_definitions_last_reload_successful",
                "1 if the definition files were loaded, 0 if they have errors and the previous definitions stay active.",
            )?,
            stages: builder.stages()?,
            ingest_commit_duration: builder.ingest_commit_duration()?,
            last_tick_timestamp: builder.last_tick_timestamp()?,
            registered: builder.finish(),
        })
    }
}

impl Metrics {
    /// Counts a request on `port` that was rejected because of its sender.
    pub fn auth_failure(&self, port: &str, reason: &str) {
        self.auth_failures.with_label_values(&[port, reason]).inc();
    }

    /// Exports the rejections on `port` from zero, so that the first one is visible as a change.
    pub fn export_auth_failures(&self, port: &str, reasons: &[&str]) {
        for reason in reasons {
            let counter = self.auth_failures.with_label_values(&[port, reason]);
            counter.inc_by(0);
        }
    }
}

/// More metrics, to keep `Metrics::new` short.
impl MetricBuilder {
    fn alert_transitions(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_alert_transitions_total",
            "Transitions of alerts that this process recorded, by kind.",
            &["kind"],
        )
    }

    fn evaluations_skipped(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_evaluations_skipped_total",
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

    fn reconciled_deliveries(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_reconciled_deliveries_total",
            "Missing deliveries that the reconciler created, by kind of notification: firing or resolved. It should stay at 0.",
            &["kind"],
        )
    }

    fn loop_turns(&self) -> Result<HistogramVec, prometheus::Error> {
        self.durations(
            "throughline_loop_turn_duration_seconds",
            "How long one turn of a loop takes, by result: ok or failed.",
            &["loop", "result"],
        )
    }

    fn auth_failures(&self) -> Result<IntCounterVec, prometheus::Error> {
        self.counters(
            "throughline_auth_failures_total",
            "Requests whose sender did not prove who it is or lacks the role, by port (pages, otlp_grpc, otlp_http) and reason.",
            &["port", "reason"],
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
            "1 while the heartbeat is withheld; the page of targets shows why.",
        )
    }

    fn self_checks(&self) -> Result<GaugeVec, prometheus::Error> {
        self.gauges(
            "throughline_self_check_open",
            "1 for each thing that is wrong with the service itself.",
            &["check"],
        )
    }

    fn clock_skew(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_clock_skew_seconds",
            "Clock of this replica minus the clock of the database.",
        )
    }

    fn database_unavailable(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_database_unavailable",
            "1 while the database does not answer this replica.",
        )
    }

    fn login_provider_unavailable(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_login_provider_unavailable",
            "1 while the OpenID Connect provider does not answer this replica, so that logins fail.",
        )
    }

    fn certificate_expiry(&self) -> Result<GaugeVec, prometheus::Error> {
        self.gauges(
            "throughline_tls_certificate_expiry_timestamp_seconds",
            "When the certificate of a port expires, or the part of its chain that expires first: pages, or otlp for both ports of OTLP.",
            &["port"],
        )
    }

    fn delivery_latency(&self) -> Result<HistogramVec, prometheus::Error> {
        let help = "From an alert's change to the answer of the target that took it.";
        // Seconds normally, minutes for the retries of a page, hours in an outage.
        let buckets = vec![
            1.0, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
        ];
        let options =
            HistogramOpts::new("throughline_delivery_latency_seconds", help).buckets(buckets);
        self.histograms(options, &["target", "kind"])
    }

    fn stages(&self) -> Result<StageMetrics, prometheus::Error> {
        Ok(StageMetrics {
            waiting: self.gauge(
                "throughline_stage_evidence_waiting",
                "Spans of messages in memory that concern no workflow known yet.",
            )?,
            dropped: self.counter(
                "throughline_stage_evidence_dropped_total",
                "Spans of messages that were dropped from memory, the oldest first, before a workflow was known that they concern. Where the time went may lack them.",
            )?,
        })
    }

    fn ingest_commit_duration(&self) -> Result<Histogram, prometheus::Error> {
        let help = "From the last span of a request read to its commit.";
        let buckets = vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let options =
            HistogramOpts::new("throughline_ingest_commit_duration_seconds", help).buckets(buckets);
        self.histogram(options)
    }

    fn database(&self) -> Result<DatabaseMetrics, prometheus::Error> {
        let wait = "From asking for a database connection to the begin of a transaction on it.";
        let wait = HistogramOpts::new("throughline_db_connection_wait_seconds", wait)
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5]);
        Ok(DatabaseMetrics {
            transactions: self.durations(
                "throughline_db_transaction_duration_seconds",
                "How long a transaction takes, by its name and result: committed, rolled_back or failed.",
                &["operation", "result"],
            )?,
            waits: self.histogram(wait)?,
            connections: self.gauges(
                "throughline_db_pool_connections",
                "Connections to the database, by use (recording, loops, pages): idle, used, and max for as many as there may be.",
                &["use", "state"],
            )?,
        })
    }

    pub(super) fn requests_answered(&self) -> Result<RequestMetrics, prometheus::Error> {
        Ok(RequestMetrics {
            http: self.durations(
                "throughline_http_request_duration_seconds",
                "How long HTTP requests took to be answered, pages and OTLP, by their route.",
                &["route", "method", "status"],
            )?,
            rpc: self.durations(
                "throughline_rpc_request_duration_seconds",
                "How long requests by OTLP/gRPC took to be answered.",
                &["method", "code"],
            )?,
            ingest: self.counters(
                "throughline_ingest_requests_total",
                "Requests of OTLP by result: committed, or the reason why the whole request was rejected.",
                &["result"],
            )?,
            connections: self.connections()?,
        })
    }

    fn connections(&self) -> Result<ConnectionMetrics, prometheus::Error> {
        Ok(ConnectionMetrics {
            open: self.gauges(
                "throughline_connections_open",
                "Connections that clients have opened, by port: otlp_grpc, otlp_http or pages.",
                &["port"],
            )?,
            closed: self.counters(
                "throughline_connections_closed_total",
                "Connections closed to bound their number: idle ones because the port or their peer had as many as it may have (port_full, peer_full), and new ones of a peer whose connections were all busy (peer_busy). Also those without a TLS handshake (tls_handshake).",
                &["port", "reason"],
            )?,
        })
    }

    fn last_span_timestamp(&self) -> Result<Gauge, prometheus::Error> {
        self.gauge(
            "throughline_last_span_timestamp_seconds",
            "When the last span was received; 0 before the first.",
        )
    }

    fn last_tick_timestamp(&self) -> Result<GaugeVec, prometheus::Error> {
        self.gauges(
            "throughline_last_tick_timestamp_seconds",
            "When a turn of a loop last succeeded.",
            &["loop"],
        )
    }
}

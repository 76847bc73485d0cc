//! Metrics of deliveries and targets: read from the database, the same on every replica.

use prometheus::GaugeVec;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{TargetState, circuit::TargetCondition},
        slo::Severity,
    },
    store::{StoreError, Tx},
    telemetry::metric_builder::MetricBuilder,
};

const STATES: [&str; 3] = ["closed", "open", "misconfigured"];

/// The data of one scrape.
#[derive(Debug)]
pub(crate) struct Outbox {
    failed: Vec<(Name, i64)>,
    targets: Vec<(Name, TargetState)>,
    /// The age of the oldest open delivery, by urgency.
    waiting: Vec<(&'static str, f64)>,
}

pub(crate) async fn read(tx: &mut Tx<'_>, now: Timestamp) -> Result<Outbox, StoreError> {
    let oldest = tx.oldest_waiting().await?;
    let waited = |severity| {
        let since = oldest.get(&severity);
        since.map_or(0.0, |since| now.saturating_since(*since).as_secs_f64())
    };
    Ok(Outbox {
        failed: tx.failed_deliveries().await?,
        targets: tx.target_states().await?,
        waiting: vec![
            ("page", waited(Severity::Page)),
            ("ticket", waited(Severity::Ticket)),
        ],
    })
}

/// The gauges of one scrape.
pub(super) struct OutboxGauges {
    oldest: GaugeVec,
    failed: GaugeVec,
    state: GaugeVec,
    failing_since: GaugeVec,
}

impl OutboxGauges {
    pub(super) fn new(builder: &MetricBuilder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            oldest: builder.gauges(
                "throughline_delivery_oldest_pending_seconds",
                "Age of the oldest pending delivery by severity; 0 if there is none.",
                &["severity"],
            )?,
            failed: builder.gauges(
                "throughline_deliveries_failed",
                "Deliveries that failed permanently; /deliveries?state=failed shows why and can retry them.",
                &["target"],
            )?,
            state: builder.gauges(
                "throughline_target_state",
                "1 for the state of a target's circuit breaker: closed, open (the target fails) or misconfigured (it rejects every request).",
                &["target", "state"],
            )?,
            failing_since: builder.gauges(
                "throughline_target_failing_since_timestamp_seconds",
                "Since when a target's circuit breaker is open or misconfigured; absent while it is closed.",
                &["target"],
            )?,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn set(&self, outbox: &Outbox) {
        for (severity, seconds) in &outbox.waiting {
            self.oldest.with_label_values(&[*severity]).set(*seconds);
        }
        for (target, known) in &outbox.targets {
            self.set_target(target.as_str(), known.health.condition);
        }
        for (target, count) in &outbox.failed {
            let failed = self.failed.with_label_values(&[target.as_str()]);
            failed.set(*count as f64);
        }
    }

    fn set_target(&self, target: &str, condition: TargetCondition) {
        self.failed.with_label_values(&[target]).set(0.0);
        for state in STATES {
            let is = f64::from(u8::from(condition.as_str() == state));
            self.state.with_label_values(&[target, state]).set(is);
        }
        if let Some(at) = failing_since(condition) {
            let since = self.failing_since.with_label_values(&[target]);
            since.set(at.as_secs_f64());
        }
    }
}

const fn failing_since(condition: TargetCondition) -> Option<Timestamp> {
    match condition {
        TargetCondition::Closed { .. } => None,
        TargetCondition::Open { since, .. } | TargetCondition::Misconfigured { since, .. } => {
            Some(since)
        }
    }
}

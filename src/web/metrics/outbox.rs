//! How deliveries and targets stand, for `/metrics`: read from the database, the same on every replica.

use prometheus::{GaugeVec, Opts, Registry, proto::MetricFamily};

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{TargetState, circuit::TargetCondition},
        slo::Severity,
    },
    store::{StoreError, Tx},
};

const STATES: [&str; 3] = ["closed", "open", "misconfigured"];

/// What was read for a scrape.
#[derive(Debug)]
pub(crate) struct Outbox {
    failed: Vec<(Name, i64)>,
    targets: Vec<(Name, TargetState)>,
    /// How long the oldest open delivery of each urgency has waited.
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

pub(crate) fn families(outbox: &Outbox) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let registry = Registry::new();
    let gauge = |name, help, labels: &[&str]| {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok::<_, prometheus::Error>(gauge)
    };
    let oldest = gauge(
        "throughline_delivery_oldest_pending_seconds",
        "Age of the oldest pending delivery by severity; 0 if there is none.",
        &["severity"],
    )?;
    for (severity, seconds) in &outbox.waiting {
        oldest.with_label_values(&[*severity]).set(*seconds);
    }
    let failed = gauge(
        "throughline_deliveries_failed",
        "Deliveries that failed permanently; /deliveries?state=failed shows why and can retry them.",
        &["target"],
    )?;
    let state = gauge(
        "throughline_target_state",
        "1 for the state of a target's circuit breaker: closed, open (the target fails) or misconfigured (it rejects every request).",
        &["target", "state"],
    )?;
    for (target, known) in &outbox.targets {
        failed.with_label_values(&[target.as_str()]).set(0.0);
        for (name, is) in STATES.map(|name| (name, known.health.condition.as_str() == name)) {
            let labels = [target.as_str(), name];
            state
                .with_label_values(&labels)
                .set(f64::from(u8::from(is)));
        }
    }
    set_failed(&failed, outbox);
    let since = gauge(
        "throughline_target_failing_since_timestamp_seconds",
        "Since when a target's circuit breaker is open or misconfigured; absent while it is closed.",
        &["target"],
    )?;
    for (target, known) in &outbox.targets {
        if let Some(at) = failing_since(known.health.condition) {
            let gauge = since.with_label_values(&[target.as_str()]);
            gauge.set(at.as_secs_f64());
        }
    }
    Ok(registry.gather())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn set_failed(failed: &GaugeVec, outbox: &Outbox) {
    for (target, count) in &outbox.failed {
        failed
            .with_label_values(&[target.as_str()])
            .set(*count as f64);
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

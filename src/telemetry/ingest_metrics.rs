//! Metrics of what is read and recorded.

use std::collections::BTreeMap;

use prometheus::{
    IntCounter, IntCounterVec,
    core::Collector as _,
    proto::{Metric, MetricFamily},
};

use super::metric_builder::MetricBuilder;

/// Workflows that received evidence, and repeated transactions.
#[derive(Clone, Debug)]
pub struct RecordingMetrics {
    workflows: IntCounterVec,
    /// Transactions that began again because another replica was first.
    pub conflicts: IntCounter,
}

impl RecordingMetrics {
    /// Counts workflows. `result` is `new`, `changed`, `unchanged` or `removed`.
    pub fn count(&self, result: &str, workflows: u64) {
        let counter = self.workflows.with_label_values(&[result]);
        counter.inc_by(workflows);
    }

    /// Returns the workflows so far by result.
    pub fn workflows(&self) -> BTreeMap<String, u64> {
        by_label(&self.workflows)
    }
}

/// Messages read from Kafka.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    messages: IntCounterVec,
    dead_letters: IntCounterVec,
    lost: IntCounter,
    jumps: IntCounterVec,
}

impl KafkaMetrics {
    /// Counts messages. `result` is `committed` or the reason why they were set aside.
    pub fn count(&self, result: &str, messages: u64) {
        self.messages.with_label_values(&[result]).inc_by(messages);
    }

    /// Returns the messages so far by result.
    pub fn messages(&self) -> BTreeMap<String, u64> {
        by_label(&self.messages)
    }

    /// Counts messages that were set aside. `result` is `stored`, `failed` or `dropped`.
    pub fn count_dead_letters(&self, result: &str, messages: u64) {
        let counter = self.dead_letters.with_label_values(&[result]);
        counter.inc_by(messages);
    }

    /// Counts messages that were removed before they were read; at least one if the number is
    /// unknown.
    pub fn lost(&self, messages: Option<i64>) {
        let messages = messages.and_then(|messages| u64::try_from(messages).ok());
        self.lost.inc_by(messages.unwrap_or(1));
    }

    /// Counts a message that did not have the next offset of its partition. `result` is `recovered` or
    /// `confirmed`.
    pub fn count_jump(&self, partition: i32, result: &str) {
        let labels = [&*partition.to_string(), result];
        self.jumps.with_label_values(&labels).inc();
    }

    /// Returns the jumps so far by result, of all partitions.
    pub fn jumps(&self) -> BTreeMap<String, u64> {
        by_label(&self.jumps)
    }

    /// Exports the jumps of a partition from zero, so that the first one is visible as a change.
    pub fn export_jumps(&self, partition: i32) {
        for result in ["recovered", "confirmed"] {
            let labels = [&*partition.to_string(), result];
            self.jumps.with_label_values(&labels).inc_by(0);
        }
    }
}

impl MetricBuilder {
    pub(super) fn recording(&self) -> Result<RecordingMetrics, prometheus::Error> {
        let metrics = RecordingMetrics {
            workflows: self.counters(
                "throughline_recorded_workflows_total",
                "Workflows that spans came for, by result: new, changed, unchanged because all of it was recorded before, or removed because they are older than the horizon. A workflow is counted in each transaction that has spans of it.",
                &["result"],
            )?,
            conflicts: self.counter(
                "throughline_recording_conflicts_total",
                "Transactions that began again because another had inserted or changed the same workflow.",
            )?,
        };
        for result in ["new", "changed", "unchanged", "removed"] {
            metrics.count(result, 0);
        }
        Ok(metrics)
    }

    pub(super) fn kafka(&self) -> Result<KafkaMetrics, prometheus::Error> {
        let metrics = KafkaMetrics {
            messages: self.counters(
                "throughline_kafka_messages_total",
                "Messages read from Kafka, by result: committed, or why a message was set aside.",
                &["result"],
            )?,
            dead_letters: self.counters(
                "throughline_kafka_dead_letters_total",
                "Messages of Kafka that were set aside, by result: stored in the topic of dead letters, failed to be, or dropped because there is none.",
                &["result"],
            )?,
            lost: self.counter(
                "throughline_kafka_lost_messages_total",
                "Messages that were removed from Kafka before they were read.",
            )?,
            jumps: self.counters(
                "throughline_kafka_offset_jumps_total",
                "Messages of Kafka that did not have the next offset of their partition, by result: recovered if the next one came when it was read again, confirmed if it has no message.",
                &["partition", "result"],
            )?,
        };
        // Exported from zero, so that the first occurrence is visible as a change.
        for result in ["committed", "malformed", "too_large", "refused", "panicked"] {
            metrics.count(result, 0);
        }
        for result in ["stored", "failed", "dropped"] {
            metrics.count_dead_letters(result, 0);
        }
        Ok(metrics)
    }
}

/// Returns the values of counters by the last of their labels.
pub fn by_label(counters: &IntCounterVec) -> BTreeMap<String, u64> {
    let families = counters.collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let value = |metric: &Metric| {
        let label = metric.get_label().last()?.value().to_owned();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole count"
        )]
        let count = metric.get_counter().get_value() as u64;
        Some((label, count))
    };
    let mut by_label = BTreeMap::new();
    for (label, count) in metrics.filter_map(value) {
        *by_label.entry(label).or_default() += count;
    }
    by_label
}

//! Reads a part of a Kafka topic again: into the database of a service, to repair it, or into an empty one,
//! to see what other definitions would have counted.

#[cfg(feature = "kafka")]
mod backtest;
#[cfg(feature = "kafka")]
mod reading;
#[cfg(feature = "kafka")]
mod repair;

use std::{collections::BTreeMap, path::PathBuf};

#[cfg(feature = "kafka")]
pub use reading::replay;

use crate::{
    config::{DatabaseConfig, KafkaConfig, SpanLimitsConfig},
    domain::model::time::{TimeRange, Timestamp},
};

/// The part of the topic to read, and the database to record it in.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    pub from: Timestamp,
    /// The end of the range; by default the current end of the topic.
    pub to: Option<Timestamp>,
    /// The definitions of a backtest. Without them, a service's database is repaired.
    pub backtest: Option<PathBuf>,
    pub kafka: KafkaConfig,
    pub database: DatabaseConfig,
    pub limits: SpanLimitsConfig,
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    pub topic: String,
    pub range: TimeRange,
    /// Messages by result: `committed`, or the reason why they cannot be used.
    pub messages: BTreeMap<String, u64>,
    /// Messages that did not have the next offset of their partition, by result: `recovered` or
    /// `confirmed`.
    pub offset_jumps: BTreeMap<String, u64>,
    pub spans: u64,
    /// Spans that were rejected, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Spans that an SLO selected.
    pub matched: u64,
    /// Workflows with new spans, by the result: `new`, `changed`, `unchanged`, `removed`.
    pub workflows: BTreeMap<String, u64>,
    pub gaps: Vec<ReplayGap>,
}

/// A partition that may lack messages of the range, because its first ones were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayGap {
    pub partition: i32,
    /// The number of messages removed since the partition was created.
    pub removed: i64,
    /// The time of the first remaining message.
    pub until: Timestamp,
}

/// Rejects every request: this build cannot read from Kafka.
///
/// # Errors
/// Always.
#[cfg(not(feature = "kafka"))]
#[expect(clippy::unused_async, reason = "as in builds with the feature")]
pub async fn replay(_request: &ReplayRequest) -> anyhow::Result<ReplayReport> {
    anyhow::bail!("this build cannot read from Kafka: build it with `--features kafka`")
}

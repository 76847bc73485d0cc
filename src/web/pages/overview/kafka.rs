//! The progress of reading Kafka.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::model::time::Timestamp,
    store::{StoreError, Tx},
};

/// The state of all partitions of Kafka topics that are read.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct KafkaView {
    partitions: usize,
    /// Messages that are not committed yet.
    pub(super) lag: i64,
    /// The time up to which all messages of every partition are committed.
    pub(super) read_up_to: Timestamp,
}

/// Returns `None` if Kafka is not read.
pub(super) async fn read(tx: &mut Tx<'_>) -> Result<Option<KafkaView>, StoreError> {
    let signs = tx.log_signs().await?;
    let earliest = signs.iter().map(|sign| sign.up_to).min();
    Ok(earliest.map(|read_up_to| KafkaView {
        partitions: signs.len(),
        lag: signs.iter().map(|sign| sign.lag).sum(),
        read_up_to,
    }))
}

//! Workflows by column, as several lists take them.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        model::{ids::SloId, time::Timestamp},
        workflow::EventId,
    },
    store::batch::Batch,
};

/// Workflows with the time that they are listed under, which with the rest is the key of their row.
#[derive(Debug, Default)]
pub(super) struct JudgedKeys {
    slo_ids: Vec<i32>,
    judged: Vec<Timestamp>,
    keys: Vec<Uuid>,
    epochs: Vec<i32>,
}

impl JudgedKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn push(&mut self, (SloId(slo), key): &EventId, epoch: i32, judged_at: Timestamp) {
        self.slo_ids.push(*slo);
        self.judged.push(judged_at);
        self.keys.push(Uuid::from_bytes(key.0));
        self.epochs.push(epoch);
    }
}

/// Workflows that are listed many in a row: the row of each by its number among those of its SLO and
/// partition.
#[derive(Debug, Default)]
pub(super) struct KeyRows {
    slo_ids: Vec<i32>,
    epochs: Vec<i32>,
    rows: Vec<i32>,
    keys: Vec<Uuid>,
    counted: BTreeMap<(i32, i32), usize>,
}

impl KeyRows {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a workflow. A row has at most `keys_a_row` of them.
    pub(super) fn push(&mut self, (SloId(slo), key): &EventId, epoch: i32, keys_a_row: usize) {
        let counted = self.counted.entry((*slo, epoch)).or_default();
        self.slo_ids.push(*slo);
        self.epochs.push(epoch);
        self.rows
            .push(i32::try_from(*counted / keys_a_row).unwrap_or(i32::MAX));
        self.keys.push(Uuid::from_bytes(key.0));
        *counted += 1;
    }
}

impl Batch {
    /// Binds SLO, time, key and partition.
    pub(super) fn bind_judged_keys(&mut self, columns: &JudgedKeys) -> &mut Self {
        self.bind(columns.slo_ids.clone())
            .bind(columns.judged.clone())
            .bind(columns.keys.clone())
            .bind(columns.epochs.clone())
    }

    /// Binds SLO, partition, row and key.
    pub(super) fn bind_key_rows(&mut self, columns: &KeyRows) -> &mut Self {
        self.bind(columns.slo_ids.clone())
            .bind(columns.epochs.clone())
            .bind(columns.rows.clone())
            .bind(columns.keys.clone())
    }
}

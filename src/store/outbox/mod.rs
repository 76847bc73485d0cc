//! Deliveries, and the state of their targets.

pub(super) mod deliveries;
pub(super) mod history;
pub(super) mod queue;
pub(super) mod records;
pub(super) mod sent_reports;
pub(super) mod target_alerts;
pub(super) mod target_changes;
pub(super) mod target_references;
pub(super) mod target_states;

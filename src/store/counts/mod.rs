//! Counts per SLO and bucket: events, evidence, customers, attributes and stages.

pub(super) mod correlated_spans;
pub(super) mod customers;
pub(super) mod events;
pub(super) mod evidence;
pub(super) mod hop_waits;
pub(super) mod samples;
pub(super) mod stage_spans;
pub(super) mod stage_sums;
pub(super) mod stage_workflows;
pub(super) mod start_spans;
pub(super) mod totals;

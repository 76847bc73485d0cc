//! Lists of workflows by what a verdict changes: open until a deadline, bad, sampled, waiting for the
//! aggregation of their stages, not yet searchable. Also the samples of those whose stages are known.
//!
//! `workflows` has no index on any of that, so that an update of a workflow writes no index. A list is
//! written in the transaction that changes the workflow, from its verdict before and after.

pub(super) mod bad;
mod columns;
pub(super) mod deadlines;
pub(super) mod open;
pub(super) mod sampled;
pub(super) mod search_queue;
pub(super) mod stage_queue;
pub(super) mod stage_samples;

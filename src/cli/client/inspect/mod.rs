//! Commands that show why an SLO counts what it counts, and what became of one workflow.

pub mod explain;
pub mod workflow;

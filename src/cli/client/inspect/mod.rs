//! Commands that show why an SLO counts what it counts, what became of one workflow, and which SLOs
//! the received spans would make.

pub mod explain;
pub mod suggest;
pub mod workflow;

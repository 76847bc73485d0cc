//! Commands that explain the counts of an SLO, show one workflow, and propose SLOs for the received
//! spans.

pub mod explain;
pub mod suggest;
pub mod workflow;

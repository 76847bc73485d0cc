//! Workflows: turns evidence into a verdict.
//!
//! Evidence of a workflow arrives span by span, in any order, more than once and through any
//! replica. [`Evidence`] is that of one span, [`Workflow`] is all of it (a join, so order and
//! duplicates do not matter), and [`Verdict`] is a pure function of that.

pub mod batch;
pub mod classify;
mod context;
pub mod discover;
mod evidence;
pub mod links;
mod notice;
mod outcome;
pub mod reservoir;
pub mod search;
pub mod shapes;
pub mod stage_buffer;
pub mod stage_evidence;
mod verdict;
pub mod watermark;

pub use context::{DelayedEnds, EndObservations, JudgingContext};
pub use evidence::{
    Correction, CorrectionReason, Corrections, Deadline, Details, EventId, EventKey, Evidence,
    EvidenceByEvent, Fact, Intervals, JudgingTerms, LegId, Legs, Opening, Pauses, SharedEnd,
    SpanOutcome, Start, StartRemark, StartRemarks, TraceRef, Workflow, attributes, gather, join,
    may_time_out, message_key, trace_key,
};
pub use notice::{WorkflowNote, is_reuse, notices};
pub use outcome::Outcome;
pub use verdict::{Judging, Losses, Staging, Verdict, judge};

#[cfg(test)]
mod tests;

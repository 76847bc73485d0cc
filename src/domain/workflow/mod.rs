//! From evidence to a verdict.
//!
//! Spans tell of a workflow piece by piece, in any order, more than once and through any replica.
//! [`Evidence`] is what one span says, [`Workflow`] is all that is known (a join of evidence, so
//! order and duplicates cannot matter), and [`Verdict`] is a pure function of that.

pub mod batch;
pub mod classify;
mod context;
mod evidence;
pub mod links;
mod notice;
pub mod reservoir;
pub mod stage_evidence;
mod verdict;
pub mod watermark;

pub use context::{DelayedEnds, EndObservations, JudgingContext};
pub use evidence::{
    Deadline, Details, EventId, EventKey, Evidence, EvidenceByEvent, Fact, Intervals, JudgingTerms,
    LegId, Legs, Opening, Pauses, SharedEnd, SpanOutcome, Start, StartRemark, StartRemarks,
    TraceRef, Workflow, attributes, gather, join, may_time_out, message_key, trace_key,
};
pub use notice::{WorkflowNote, is_reuse, notices};
pub use verdict::{Judging, Losses, Outcome, Verdict, judge};

#[cfg(test)]
mod tests;

//! From evidence to a verdict.
//!
//! Spans tell of a workflow piece by piece, in any order, more than once and through any replica.
//! [`Evidence`] is what one span says, [`Workflow`] is all that is known (a join of evidence, so
//! order and duplicates cannot matter), and [`Verdict`] is a pure function of that.

mod details;
mod evidence;
mod intervals;
mod verdict;

pub use details::Details;
pub use evidence::{EventKey, Evidence, Fact, Promise, SpanOutcome, Start, TraceRef, Workflow};
pub use intervals::Intervals;
pub use verdict::{Judging, Outcome, Verdict, judge};

#[cfg(test)]
mod tests;

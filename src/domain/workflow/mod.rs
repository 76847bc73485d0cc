//! From evidence to a verdict.
//!
//! Spans tell of a workflow piece by piece, in any order, more than once and through any replica.
//! [`Evidence`] is what one span says, [`Workflow`] is all that is known (a join of evidence, so
//! order and duplicates cannot matter), and [`Verdict`] is a pure function of that.

mod details;
mod evidence;
mod intervals;
mod legs;
mod notice;
mod pauses;
mod terms;
mod verdict;

pub use details::Details;
pub use evidence::{EventKey, Evidence, Fact, Promise, SpanOutcome, Start, TraceRef, Workflow};
pub use intervals::Intervals;
pub use legs::{LegId, Legs};
pub(super) use notice::is_reuse;
pub use notice::{Notice, notice};
pub use pauses::Pauses;
pub use terms::{CancelPolicy, Completion, Terms};
pub use verdict::{Judging, Losses, Outcome, Verdict, judge};

#[cfg(test)]
mod tests;

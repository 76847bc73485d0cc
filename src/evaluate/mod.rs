//! Stations 5 and 6 of a span's journey: verdicts are summed, judged against rules and written.

pub mod overdue;

//! Counting: differences of counts that follow from verdicts, and evaluations of the sums.

pub mod customers;
pub mod differences;
pub mod durations;
pub mod groups;
mod judged;
pub mod ledger;
pub mod segments;
pub mod series;
pub mod stages;
pub mod story;
pub mod time_used;

pub use judged::JudgedWorkflow;

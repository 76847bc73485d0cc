//! Spans that stand for others, and evidence that was lost.

mod losses;
mod randomness;
mod sampled;

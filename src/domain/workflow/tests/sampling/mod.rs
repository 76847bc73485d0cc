//! Sampled spans, and evidence that was lost.

mod losses;
mod randomness;
mod sampled;

//! Spans that stand for others: what a sampler kept, how likely that was, and what follows for an
//! event that needs several spans.
//!
//! A consistent sampler keeps a trace if its [`Randomness`] reaches the sampler's [`Threshold`]. What
//! a span says of that is its [`Sample`]; a workflow keeps the samples of its spans as [`Draws`], and
//! the [`Weight`] of its event follows from them. [`EndSampling`] tells what is known of the spans
//! that end the workflows of an SLO: a start whose end is sure to be dropped proves nothing by its
//! silence, however long it lasts.
//!
//! Rules and vectors: OpenTelemetry, "`TraceState`: Probability Sampling" and OTEP 235.

mod draws;
mod encoding;
mod threshold;
mod trace_state;

pub use self::{
    draws::{Draws, EndDraw, EndSampling, Sample, SpanRole, TraceIds},
    encoding::{Flaw, Meaning, SamplingEncoding, UnknownWeight, Weighed, Weighing},
    threshold::{Randomness, Threshold, Weight},
};

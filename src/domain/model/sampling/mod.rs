//! Sampling: which spans a sampler kept, with what probability, and what follows for an event that
//! needs several spans.
//!
//! A consistent sampler keeps a trace if its [`Randomness`] reaches the sampler's [`Threshold`].
//! Both as read from a span are its [`Sample`]; a workflow keeps the samples of its spans as
//! [`Draws`], and the [`Weight`] of its event follows from them. [`EndSampling`] holds the observed
//! sampling of the spans that end the workflows of an SLO: if an end is certain to be dropped, its
//! absence means nothing, however long it lasts.
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

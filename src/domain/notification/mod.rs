//! What a target is told: facts frozen at the moment of an alert's transition.
//!
//! Every channel and every page takes its numbers from [`Facts`], so a message and a page cannot
//! disagree. [`sentence`] says them in words; [`slack`], [`pagerduty`] and [`webhook`] make the body
//! that the kind of target understands, within its limits whatever the facts contain.
//!
//! To add another kind of target: a variant of `TargetKind`, a file here that makes its body, an arm
//! in `deliver/request.rs` and one in `deliver/classify.rs`.

mod detail;
mod facts;
pub mod pagerduty;
pub mod sentence;
pub mod slack;
pub mod text;
pub mod webhook;

use detail::Detail;
pub use facts::{
    EpisodeEnd, EpisodeSummary, Facts, SlowestStage, TransitionKind, WindowFacts, WorstWorkflow,
};

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

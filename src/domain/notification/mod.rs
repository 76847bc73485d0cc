//! What a target is told: facts frozen at the moment of an alert's transition, or a [`notice`] of
//! another kind.
//!
//! Every channel and every page takes its numbers from [`Facts`], so a message and a page cannot
//! disagree. [`Telling`] is what is known only when a message is sent. [`sentence`] says both in words;
//! the other files each make the body that one kind of target understands, within its limits whatever
//! the facts contain.
//!
//! To add another kind of target: a variant of `TargetKind`, a file here that makes its body, an arm
//! in `deliver/sender.rs` and one in `deliver/classify.rs`.

mod action_addresses;
pub mod alertmanager;
mod change;
pub mod cloudevents;
mod content;
mod context;
mod detail;
mod development;
mod digest;
mod facts;
mod kind;
mod lines;
pub mod notice;
pub mod pagerduty;
pub mod preview;
mod reference;
pub mod rehearsal;
pub mod sentence;
mod signed_links;
pub mod slack;
pub mod teams;
mod telling;
pub mod text;
mod trend;
pub mod webhook;

use std::time::Duration;

pub use action_addresses::ActionAddresses;
pub use content::Content;
pub use notice::{Notice, NoticeKind, NoticeLink};
pub use reference::{PinnedKey, Reference, SlackMessage};
pub use signed_links::SignedLinks;
pub use telling::{Actions, Circumstances, LATE, Note, Telling};
pub use trend::Trend;

pub use change::{ChangeKind, RecentChange};
pub use context::{Compared, Context, TopCustomer};
use detail::Detail;
pub use development::{Development, Missing};
pub use digest::{TOLD_SINGLY, digest};
pub use facts::{
    Before, EpisodeEnd, EpisodeSummary, Facts, SlowestStage, WindowFacts, WorstWorkflow,
};
pub use kind::TransitionKind;

/// An alert that fires again so soon after it was over is told as the same trouble again, where its last
/// episode was told.
pub const SOON: Duration = Duration::from_mins(30);

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

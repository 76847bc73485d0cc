//! What a target is told: facts frozen at the moment of an alert's transition, or a [`notice`] of
//! another kind.
//!
//! Every channel and every page takes its numbers from one
//! [`AlertSnapshot`](crate::domain::alerting::snapshot::AlertSnapshot), so a message and a page cannot
//! disagree. [`RenderContext`] is known only when a message is sent. [`wording`] puts both into words;
//! each file in [`channels`] makes the body for one kind of target, within its limits.
//!
//! To add another kind of target: a variant of `TargetKind`, a file here that makes its body, an arm
//! in `deliver/sender.rs` and one in `deliver/response_class.rs`.

pub mod channels;
mod content;
pub mod delivery;
mod detection;
mod development;
mod digest;
pub mod notice;
pub mod preview;
mod reference;
pub mod signed_links;
mod telling;
pub mod test_notification;
pub mod wording;

use std::time::Duration;

pub use content::Notification;
pub use notice::{PlatformNotification, PlatformNotificationKind, PlatformNotificationLink};
pub use reference::{PinnedKey, Reference, SlackMessage};
pub use telling::{Actions, DeliveryContext, MessageNote, RenderContext};

use channels::detail::Detail;
pub use detection::detection;
pub use digest::digest;

/// An alert that fires again so soon after it was over is told as the same trouble again, where its last
/// episode was told.
pub const SOON: Duration = Duration::from_mins(30);

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

//! Notifications: the snapshot of an alert at a transition, or a [platform
//! notification](PlatformNotification).
//!
//! Every channel and every page takes its numbers from one
//! [`AlertSnapshot`](crate::domain::alerting::snapshot::AlertSnapshot) and its sentences from
//! [`wording`], so a message and a page cannot disagree. [`RenderContext`] is known only when a
//! message is sent. `message` has the contents for people, in the same order for every channel;
//! each file in [`channels`] formats them for one kind of target, and knows its rate limit and its
//! errors. [`delivery::plan`] decides what is sent when.
//!
//! To add another kind of target: a variant of `TargetKind`, a file in [`channels`], and an arm in
//! [`preview`], in `deliver/sender.rs` and in `deliver/attempt.rs`.

pub mod channels;
pub mod delivery;
mod digest;
mod heartbeat_method;
mod message;
mod notification;
mod platform_notification;
pub mod preview;
mod reference;
mod render_context;
pub mod signed_links;
pub mod test_notification;
pub mod wording;

use std::time::Duration;

pub use heartbeat_method::HeartbeatMethod;
pub use notification::Notification;
pub use platform_notification::{
    PlatformNotification, PlatformNotificationKind, PlatformNotificationLink,
};
pub use reference::{PinnedKey, Reference, SlackMessage};
pub use render_context::{Actions, DeliveryContext, MessageNote, RenderContext};

pub use digest::digest;
pub use wording::detection;

/// An alert that fires again within this time after its end is notified as a continuation of the
/// same problem, if its last episode was notified.
pub const SOON: Duration = Duration::from_mins(30);

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

//! The parts that both servers share: bodies, slow commits, senders and timing.

pub(super) mod body;
pub mod cors;
pub mod senders;
pub(super) mod slow_commits;
pub(super) mod timing;

pub use super::limits;

//! The parts that both servers share: bodies, limits, timing and health.

pub(super) mod body;
pub mod cors;
pub(super) mod health;
pub(super) mod late;
pub mod limits;
pub mod senders;
pub(super) mod timing;

//! What both servers share: connections, bodies, limits, timing and health.

pub(super) mod body;
pub(super) mod connections;
pub mod cors;
pub(super) mod health;
pub mod limits;
pub(super) mod timing;

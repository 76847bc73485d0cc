//! What both servers share: connections, bodies, limits and timing.

pub(super) mod body;
pub(super) mod connections;
pub mod cors;
pub mod limits;
pub(super) mod timing;

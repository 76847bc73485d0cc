//! Alert policies, notification targets and fallbacks.

pub(super) mod apply;
pub(super) mod fallback;
mod limit;
pub(super) mod policy;
mod report;
pub(super) mod target;

//! Which workflow evidence belongs to.

mod batches;
mod correlation;
mod groups;
pub(super) mod links;

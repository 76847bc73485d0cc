//! Assignment of evidence to workflows.

mod batches;
mod by_number;
mod correlation;
mod groups;
pub(super) mod kept_evidence;
mod links;
mod requests;

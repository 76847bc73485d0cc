//! Workflow rows: locked, written and read.

pub(super) mod epochs;
pub(super) mod heard;
pub(super) mod locked;
pub(super) mod losses;
pub(super) mod observations;
pub(super) mod one;
pub(super) mod purged;
pub(super) mod reads;
pub(super) mod rows;
pub(super) mod watermark;

//! SLOs, their definitions, their groups and their last evaluations.

pub(super) mod claims;
pub(super) mod definition_sets;
pub(super) mod exclusions;
pub(super) mod group_reads;
pub(super) mod groups;
pub(super) mod records;
pub(super) mod statuses;
pub(super) mod tracked_groups;

//! SLOs, their definitions, their groups and how each was last evaluated.

pub(super) mod definition_sets;
pub(super) mod exclusions;
pub(super) mod group_reads;
pub(super) mod groups;
pub(super) mod records;
pub(super) mod statuses;
pub(super) mod tracked_groups;

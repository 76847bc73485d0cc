//! The pages, each with its JSON view.

pub(super) mod addresses;
pub(super) mod alerts;
pub(super) mod audit;
mod backlog;
pub(super) mod customer;
pub(super) mod definitions;
pub(super) mod deliveries;
pub(super) mod discover;
pub(super) mod docs;
pub(super) mod events;
pub(super) mod exclusions;
pub(super) mod explain;
pub(super) mod history;
pub(super) mod incidents;
pub(super) mod overview;
pub(super) mod period;
pub(super) mod reports;
pub(super) mod sentence;
pub(super) mod silences;
pub(super) mod slo;
pub(super) mod summary;
pub(super) mod targets;
pub(super) mod workflow;
pub(super) mod workflows;

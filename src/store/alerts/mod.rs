//! Alerts, their transitions, silences, incidents and change events.

pub(super) mod change_events;
pub(super) mod episodes;
pub(super) mod incidents;
pub(super) mod retention;
pub(super) mod rows;
pub(super) mod silences;
pub(super) mod states;

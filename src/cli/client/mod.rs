//! Commands that call the API of a running service.

pub mod alerts;
pub(super) mod answer;
pub mod api;
pub mod definitions;
pub mod deliveries;
pub mod event;
pub mod inspect;
pub mod notify_test;
pub mod silence;
pub mod status;
mod watch;

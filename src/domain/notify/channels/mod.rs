//! The body for each kind of target, within its limits whatever the facts contain.

pub mod alertmanager;
pub mod cloudevents;
pub(super) mod detail;
pub(super) mod lines;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod webhook;

//! The pure core: values in, values out.
//!
//! Nothing here does I/O, reads a clock, draws a random number, logs or awaits: time and ids are
//! arguments. Nine contexts, in reading order; each uses only those before it, which
//! `tests/integration/architecture/` checks:
//!
//! | context | question |
//! |---|---|
//! | [`model`] | time, ids, spans, counts, windows: the values that every context uses |
//! | [`traceql`] | does a span match a selector? |
//! | [`slo`] | what did a user declare, and what is wrong with the files? |
//! | [`workflow`] | which workflow does a span belong to, and is that workflow good or bad? |
//! | [`counting`] | which counts change when a verdict changes, and what do the sums show? |
//! | [`alerting`] | does a rule fire, and what state is its alert in? |
//! | [`notify`] | what does a message contain, and when is it sent to which target? |
//! | [`health`] | is this service itself working? |
//! | [`access`] | who may do what? |
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::disallowed_methods
)]

pub mod access;
pub mod alerting;
pub mod counting;
pub mod health;
pub mod model;
pub mod notify;
pub mod slo;
pub mod traceql;
pub mod workflow;

//! What needs a socket, a database or a process: everything else is tested beside its code.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests say what went wrong by failing"
)]
#![expect(unreachable_pub, reason = "support is one vocabulary for all tests")]

mod architecture;
mod attributes;
mod calendar;
mod cases;
mod catalogue;
mod concurrent_links;
mod context;
mod counts_and_claims;
mod customers;
mod databases;
mod delivery;
mod demo;
mod deployment;
mod evaluation;
mod exclusions;
mod faults;
mod groups;
mod instrumented;
#[cfg(feature = "kafka")]
mod kafka;
mod late_ends;
mod limits;
mod links;
mod losses;
mod never_lost;
mod pages;
mod postgres;
mod public_names;
mod receiver;
mod recording;
mod samples;
mod sampling;
mod silences;
mod simulation;
mod stages;
mod store;
mod support;
mod system;
mod telemetry;
mod verdicts;
mod workflows;

//! Throughline: SLOs for work that runs through queues.
//!
//! # The map
//!
//! ```text
//!   cli ──► app ──► ingest   evaluate   deliver   watch   web       shell: async, I/O
//!                      │         │          │       │      │
//!                      └───► store ◄────────┴───────┴──────┘        the only module that knows SQL
//!                              │
//!                              ▼
//!                           domain                           pure: values in, values out
//! ```
//!
//! The stations (`ingest`, `evaluate`, `deliver`, `watch`, `web`) use `domain` and `store` and never each other:
//! what one must tell another goes through a row in Postgres, so any of them may die at any
//! instruction, and any number of replicas may run. Only `app` knows all of them; `demo` runs the
//! same `app` with a made-up shop that sends to it from outside. Wire formats and libraries stop at
//! their edge: `tests/integration/architecture.rs` keeps these rules.
//!
//! # A span's journey
//!
//! | # | station | where | what leaves it |
//! |---|---|---|---|
//! | 1 | arrives | [`ingest::grpc`], [`ingest::http`] | a body, bounded in size, number and time |
//! | 2 | is read in place | [`ingest::wire`], [`ingest::json`] | a view of each span; a bad one is refused alone |
//! | 3 | is understood | [`domain::classify`] by [`domain::selector`] | evidence: what it says of which workflow |
//! | 4 | is joined, judged and counted | [`domain::ledger`], [`domain::workflow`] in [`ingest::record`] | rows and counts, committed once; then the sender gets its reply |
//! | 5 | is overdue, is placed anew, tells where time went | [`evaluate::overdue`], [`evaluate::unplaced`], [`evaluate::stages`] | a verdict although nothing arrived; workflows corrected by a missing span; sums per stage |
//! | 6 | burns budget | [`evaluate`] by [`domain::burn_rate`], [`domain::condition`], [`domain::alert`] | status, alert state, and the duty to tell, in one transaction |
//! | 7 | is told | [`deliver`] by [`domain::notification`] | an attempt, recorded and retried; [`web`] shows the same facts |
//!
//! Beside it [`watch`] looks whether all of this works, by [`domain::self_check`], and tells those who run it.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod domain;
pub mod evaluate;
pub mod failpoint;
pub mod ingest;
pub mod postgres;
pub mod store;
pub mod telemetry;
pub mod watch;
pub mod web;

//! Throughline: SLOs for work that runs through queues.
//!
//! # The map
//!
//! ```text
//!   cli ──► app ──► ingest   evaluate   deliver  monitor  web       shell: async, I/O
//!                      │         │          │       │      │
//!                      └─► recording        │       │      │        verdicts and counts, in one transaction
//!                              │            │       │      │
//!                              ▼            │       │      │
//!                            store ◄────────┴───────┴──────┘        the only module that knows SQL
//!                              │
//!                              ▼
//!                           domain                           pure: values in, values out
//! ```
//!
//! `server` is the HTTP server of all ports, which `ingest` and `web` use; `oidc` asks the provider at
//! which people log in, for `web`. The stations (`ingest`,
//! `evaluate`, `deliver`, `monitor`, `web`) use `domain`, `store` and, where they judge workflows, `recording`, and never each other: what one must
//! tell another goes through a row in Postgres, so any of them may die at any
//! instruction, and any number of replicas may run. Only `app` knows all of them; `demo` runs the
//! same `app` with a made-up shop that sends to it from outside. Wire formats and libraries stop at
//! their edge: `tests/integration/architecture/` keeps these rules.
//!
//! # A span's journey
//!
//! | # | step | where | result |
//! |---|---|---|---|
//! | 1 | A request arrives | [`ingest::grpc`], [`ingest::http`] | a body, bounded in size, number and time |
//! | 2 | Its spans are read in place | [`ingest::wire`], [`ingest::json`] | a view of each span; a bad one is rejected alone |
//! | 3 | Spans are classified | [`domain::workflow::classify`], by [`domain::traceql`] | evidence of workflows |
//! | 4 | Evidence is joined, judged and counted | [`domain::workflow`], [`domain::counting::ledger`], in [`recording`] | rows and counts, committed once; then the sender gets its reply |
//! | 5 | Deadlines pass, links are resolved, stages are summed | [`evaluate::overdue`], [`evaluate::resolve_links`], [`evaluate::stages`] | verdicts that no span brought, corrected workflows, sums per stage |
//! | 6 | Rules are evaluated | [`evaluate`], by [`domain::alerting`] | status, alert state and notifications to deliver, in one transaction |
//! | 7 | Notifications are delivered | [`deliver`], by [`domain::notify`] | an attempt, recorded and retried; [`web`] shows the same facts |
//!
//! Beside it [`monitor`] checks the service itself, by [`domain::health`], and notifies those who run it.

// Support that unit tests share with the integration tests knows the crate by its name.
#[cfg(test)]
extern crate self as throughline;

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
pub mod monitor;
pub mod oidc;
pub mod postgres;
pub mod recording;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod web;

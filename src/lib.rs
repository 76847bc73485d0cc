//! Throughline: SLOs for work that runs through queues.
//!
//! # Modules
//!
//! ```text
//!   cli ──► app ──► ingest   evaluate   deliver  monitor  web       shell: async, I/O
//!                      │         │          │       │      │
//!                      └─► recording        │       │      │        verdicts and counts, in one transaction
//!                              │            │       │      │
//!                              ▼            │       │      │
//!                            store ◄────────┴───────┴──────┘        the only module with SQL
//!                              │
//!                              ▼
//!                           domain                           pure: values in, values out
//! ```
//!
//! `server` is the HTTP server of all ports, which `ingest` and `web` use; `oidc` is the client of the
//! login provider, for `web`; `installations` asks several services, for the pages of `throughline
//! overview`; `remote_write` writes metrics to a receiver; all three by the client of `http`. `ingest`, `evaluate`, `deliver`, `monitor` and `web` use `domain`,
//! `store` and, where they judge workflows, `recording`, but never each other: they communicate
//! through rows in Postgres, so any of them may crash at any instruction, and any number of replicas
//! may run. Only `app` knows all of them; `demo` runs the same `app` with a simulated shop that sends
//! spans to it. Wire formats and libraries are used only at their edge, which
//! `tests/integration/architecture/` checks.
//!
//! # From a span to a notification
//!
//! | # | step | where | result |
//! |---|---|---|---|
//! | 1 | A request arrives | [`ingest::grpc`], [`ingest::http`] | a body, bounded in size, number and time |
//! | 2 | Its spans are read in place | [`ingest::wire`], [`ingest::json`] | a view of each span; an invalid one is rejected alone |
//! | 3 | Spans are classified | [`domain::workflow::classify`], by [`domain::traceql`] | evidence of workflows |
//! | 4 | Evidence is joined, judged and counted | [`domain::workflow`], [`domain::counting::ledger`], in [`recording`] | rows and counts, committed once; then the sender gets its reply |
//! | 5 | Deadlines pass, links are resolved, stages are summed | [`evaluate::overdue`], [`evaluate::resolve_links`], [`evaluate::stages`] | verdicts without a new span, corrected workflows, sums per stage |
//! | 6 | Rules are evaluated | [`evaluate`], by [`domain::alerting`] | status, alert state and notifications to deliver, in one transaction |
//! | 7 | Notifications are delivered | [`deliver`], by [`domain::notify`] | an attempt, recorded and retried; [`web`] shows the same facts |
//!
//! [`monitor`] checks the service itself, by [`domain::health`], and notifies its operators.

// Support code that unit tests share with the integration tests uses the crate's name.
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
mod http;
pub mod ingest;
pub mod installations;
pub mod monitor;
pub mod oidc;
pub mod postgres;
pub mod recording;
pub mod remote_write;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod web;

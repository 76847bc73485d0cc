//! Throughline: SLOs for work that runs through queues.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod domain;
pub mod evaluate;
pub mod ingest;
pub mod postgres;
pub mod store;
pub mod telemetry;
pub mod web;

//! Throughline: SLOs for work that runs through queues.

pub mod clock;
pub mod domain;
pub mod evaluate;
pub mod ingest;
pub mod store;
pub mod postgres;

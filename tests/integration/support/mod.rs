//! The real parts that tests are made of.

pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod backup;
pub(crate) mod broker;
pub(crate) mod case;
pub(crate) mod cluster;
pub mod database;
pub(crate) mod installs;
pub(crate) mod link;
pub(crate) mod lists;
pub(crate) mod pooler;
pub(crate) mod receiver;
pub(crate) mod relay;
pub(crate) mod sasl;
pub(crate) mod service;
pub(crate) mod span;
pub(crate) mod validators;
pub(crate) mod workload;

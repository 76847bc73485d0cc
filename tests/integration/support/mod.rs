//! The real parts that tests are made of.

pub mod database;
pub(crate) mod ledger;
pub(crate) mod receiver;

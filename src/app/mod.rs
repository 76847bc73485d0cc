//! How the parts are put together.

pub mod database;
pub mod definitions;
pub mod periodic;
pub mod shutdown;

//! How the parts are put together.

pub mod definitions;

//! Connections: to which server, through a pooler or not, and how many for which use.

mod address;
mod pools;
mod servers;
mod session;

pub use address::{DatabaseAddress, InvalidUrl};
pub use pools::ConnectionUse;
pub(super) use pools::Pools;
pub(super) use session::Session;

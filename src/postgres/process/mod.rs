//! The server's processes: the account they run as, their start and their end.

pub(super) mod account;
pub(super) mod leftover;
pub(super) mod postmaster;
pub(super) mod spawn;

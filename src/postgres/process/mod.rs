//! The server's processes: the account they run as, how they start and how they end.

pub(super) mod account;
pub(super) mod leftover;
pub(super) mod postmaster;
pub(super) mod spawn;

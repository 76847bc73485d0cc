//! The server's processes: the account they run as, their start and their end.

pub(super) mod account;
pub(super) mod leftover;
pub(super) mod postmaster;
pub(super) mod spawn;

use std::time::Duration;

use nix::sys::signal::Signal;

/// Fast shutdown, then immediate shutdown, then SIGKILL; with the time limit of each.
pub(crate) const WAYS_TO_STOP: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

//! No alert is lost, whatever happens to whoever tells it: processes that die at any step, databases
//! that stop, clocks that jump, targets that answer as no decent target would.
//!
//! What must hold is exact: every target is told of every transition, in order, and of none twice
//! except where nobody can know whether it had been told.

#[cfg(target_os = "linux")]
pub(crate) mod clocks;
mod crowd;
mod expired;
pub(crate) mod freezes;
mod kills;
mod modes;
pub(crate) mod outbox;
pub(crate) mod postgres;
mod replicas;
pub(crate) mod restarts;
mod sink;
mod soak;
pub(crate) mod totals;

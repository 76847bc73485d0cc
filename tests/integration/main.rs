//! What needs a socket, a database or a process: everything else is tested beside its code.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests say what went wrong by failing"
)]

mod store;
mod support;

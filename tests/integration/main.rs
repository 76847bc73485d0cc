//! What needs a socket, a database or a process: everything else is tested beside its code.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests say what went wrong by failing"
)]
#![expect(unreachable_pub, reason = "support is one vocabulary for all tests")]

mod postgres;
mod recording;
mod counts_and_claims;
mod evaluation;
mod store;
mod support;
//! Everything that needs a socket or a database, in one binary.
#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

mod receiver;

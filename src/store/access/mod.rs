//! Who may do what, and what was done: tokens, sessions, the audit log.

pub(super) mod audit;
pub(super) mod sessions;
pub(super) mod tokens;

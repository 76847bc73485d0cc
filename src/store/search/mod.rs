//! The search for workflows: its table, written asynchronously from `workflows::search_queue`.

pub(super) mod customer;
pub(super) mod find;
pub(super) mod index;

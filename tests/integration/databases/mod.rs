//! PostgreSQL as people run it: behind a pooler, with a standby that takes over.

mod failover;
mod pooler;
mod reads;

//! Delivery against real HTTP servers that answer by a script, on a real Postgres.

mod addresses;
mod answers;
mod leases;
mod order;
mod secrets;
mod tls;
mod world;

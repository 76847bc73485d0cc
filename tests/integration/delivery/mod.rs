//! Delivery against real HTTP servers that answer by a script, on a real Postgres.

mod addresses;
mod alertmanager;
mod answers;
mod developments;
mod fallback;
mod late;
mod leases;
mod notices;
mod order;
mod pagerduty;
mod real_alertmanager;
mod reconcile;
mod secrets;
mod slack_bot;
mod storm;
mod tls;
mod watching;
mod world;

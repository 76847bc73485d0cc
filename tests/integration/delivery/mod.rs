//! Delivery against real HTTP servers that answer by a script, on a real Postgres.

pub(crate) mod addresses;
pub(crate) mod alertmanager;
pub(crate) mod answers;
mod developments;
pub(crate) mod fallback;
pub(crate) mod late;
pub(crate) mod leases;
mod monthly_reports;
mod notices;
pub(crate) mod order;
mod pagerduty;
mod real_alertmanager;
mod reconcile;
mod retention;
pub(crate) mod secrets;
pub(crate) mod slack_bot;
pub(crate) mod storm;
mod tls;
pub(crate) mod watching;
mod world;

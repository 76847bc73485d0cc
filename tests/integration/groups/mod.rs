//! Groups of an SLO on a real Postgres: made, counted, bounded, evaluated and told.

mod alerting;
mod counting;

//! The pure core: values in, values out.
//!
//! Nothing here does I/O, reads a clock, draws a random number, logs or awaits: time and ids are
//! arguments. In reading order: [`time`] and [`names`]; [`span`], what arrives; [`selector`], which
//! spans concern an SLO; [`definition`], what a user promised; [`workflow`], from evidence to a
//! verdict; [`stages`], where its time goes; [`counts`] and [`series`], what verdicts add up to; [`burn_rate`], what the counts mean for the budget;
//! [`condition`], what a rule says of them; [`alert`], the state over time; [`status`], what is shown;
//! [`notification`], what is told.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::disallowed_methods
)]

pub mod alert;
pub mod burn_rate;
pub mod classify;
pub mod condition;
pub mod counts;
pub mod definition;
pub mod delivery;
pub mod format;
pub mod ledger;
pub mod names;
pub mod notification;
pub mod objective;
pub mod retry;
pub mod selector;
pub mod series;
pub mod span;
pub mod stages;
pub mod started_at;
pub mod status;
pub mod time;
pub mod watermark;
pub mod workflow;

//! The pure core: values in, values out.
//!
//! Nothing here does I/O, reads a clock, draws a random number, logs or awaits: time and ids are
//! arguments. In reading order: [`time`] and [`names`]; [`span`], what arrives; [`selector`], which
//! spans concern an SLO; [`definition`], what a user promised; [`workflow`], from evidence to a
//! verdict; [`group`], whose budget besides the SLO's it is; [`counts`] and [`series`], what verdicts add up to; [`burn_rate`], what the counts mean for the budget;
//! [`condition`] and [`limit`], what a rule says of them; [`alert`], the state over time; [`inhibition`], when it tells nothing new; [`status`], what is shown;
//! verdict; [`links`] and [`batch`], where evidence belongs that no span can tell alone; [`counts`] and [`series`], what verdicts add up to; [`burn_rate`], what the counts mean for the budget;
//! verdict; [`counts`] and [`series`], what verdicts add up to, [`customers`], whose they are, and [`attributes`], what bad ones share; [`burn_rate`], what the counts mean for the budget;
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
pub mod attributes;
pub mod batch;
pub mod burn_rate;
pub mod classify;
pub mod condition;
pub mod counts;
pub mod customers;
pub mod definition;
pub mod delivery;
pub mod exclusion;
pub mod format;
pub mod group;
pub mod inhibition;
pub mod ledger;
pub mod limit;
pub mod links;
pub mod names;
pub mod notification;
pub mod objective;
pub mod retry;
pub mod sampling;
pub mod selector;
pub mod series;
pub mod span;
pub mod stages;
pub mod started_at;
pub mod status;
pub mod time;
pub mod trace_state;
pub mod watermark;
pub mod window;
pub mod workflow;

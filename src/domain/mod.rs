//! The pure core: values in, values out.
//!
//! Nothing here does I/O, reads a clock, draws a random number, logs or awaits: time and ids are
//! arguments. In reading order: [`time`], [`window`] and [`names`]; [`span`], what arrives;
//! [`selector`], which spans concern an SLO; [`definition`], what a user promised; [`classify`], from
//! a span to evidence, with [`sampling`], how much it stands for, and [`links`] and [`batch`], where
//! evidence belongs that no span can tell alone; [`workflow`], from evidence to a verdict, held
//! against the [`watermark`]; [`ledger`], what a verdict moves; [`counts`] and [`series`], what
//! verdicts add up to, [`group`], whose budget besides the SLO's it is, [`customers`], whose
//! experience, [`attributes`], what bad ones share, [`stages`], where their time went,
//! [`exclusion`], what is left out, and [`happening`], what else went on; [`burn_rate`], what the
//! counts mean for the budget; [`condition`] and [`limit`], what a rule says of them; [`alert`], the
//! state over time; [`inhibition`], when it tells nothing new, [`silence`], when nobody wants to be
//! told, and [`suppression`], what is kept of both; [`incident`], all of one episode; [`status`], what
//! is shown; [`notification`], what is told; [`delivery`] and [`retry`], to whom and how often; [`pace`] and [`target_health`], how
//! much a target takes; [`signing`], what an address in a message may do;
//! [`self_check`], what is wrong with the service itself.
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
pub mod happening;
pub mod incident;
pub mod inhibition;
pub mod ledger;
pub mod limit;
pub mod links;
pub mod names;
pub mod notification;
pub mod objective;
pub mod pace;
pub mod recurrence;
pub mod retry;
pub mod sampling;
pub mod selector;
pub mod self_check;
pub mod series;
pub mod signing;
pub mod silence;
pub mod span;
pub mod stages;
pub mod started_at;
pub mod status;
pub mod suppression;
pub mod target_health;
pub mod time;
pub mod trace_link;
pub mod trace_state;
pub mod watermark;
pub mod window;
pub mod workflow;

//! Alerting: burn rates, rules, alerts, silences and incidents.

pub mod alert;
pub mod burn_rate;
pub mod change_event;
pub mod condition;
pub mod end_shortfall;
pub mod incident;
pub mod inhibition;
pub mod quality;
pub mod rule_status;
pub mod rule_statuses;
pub mod settled;
pub mod silence;
pub mod snapshot;
pub mod status;
pub mod suppression;
pub mod threshold;
pub mod trace_link;

//! The service's data about itself: health, heartbeat, keys and retention.

mod clean_ups;
pub(super) mod database_facts;
pub(super) mod health_checks;
pub(super) mod health_inputs;
pub(super) mod idempotency_keys;
pub(super) mod notification_history;
pub(super) mod notifications;
mod restores;
pub(super) mod retention;
pub(super) mod service_state;
pub(super) mod signing_key;

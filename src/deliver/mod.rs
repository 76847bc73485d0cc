//! Delivery: sends the deliveries in the outbox to their targets.
//!
//! The guarantees: every delivery reaches its target at least once, or has failed permanently and
//! is visible; deliveries of one alert reach a target in order; no target waits for another; a
//! secret is read when it is used and appears in no row, log or error; nothing is sent to an
//! address that is not allowed.
//!
//! [`Dispatcher::tick`] is called every second and returns at once. For every target with due
//! deliveries it starts one turn of [`Deliverer::deliver_due`], unless the last one is still
//! running: claim (a short transaction), send, settle (another). No transaction is open while a
//! turn waits for a target. A replica that crashes in between leaves a lease that expires, and the
//! delivery is sent again under the same id.
//!
//! [`Reminder::tick`] is called every minute: an Alertmanager forgets alerts that are not repeated,
//! so all active alerts are sent to it in addition to the outbox.
//!
//! [`Emergency::tick`] is called every few seconds: it reports an outage of the database, which the
//! outbox cannot do.
//!
//! [`Deliverer::escalate`] is called every second: deliveries that do not reach a target are also
//! sent to its fallback. [`Reconciler::tick`] is called every minute and compares what targets show
//! with the state of the alerts. [`TargetChanges::tick`] is called when definitions are activated:
//! a target under a new name keeps its deliveries, and an added one is notified of the firing
//! alerts.

mod attempt;
mod channels;
mod database_outage;
mod deliverer;
mod dispatcher;
mod fallback;
mod http;
mod reconcile;
mod sender;
mod settings;
mod settle;
mod target_changes;

pub use channels::reminder::{Reminder, ReminderReport};
pub use database_outage::{Emergency, EmergencyReport, EmergencySettings};
pub use deliverer::{Deliverer, DeliveryReport};
pub use dispatcher::{Dispatcher, TargetReport};
pub use http::addresses::AddressPolicy;
pub use http::client::BuildClientError;
pub use http::hosts::{UnusableTarget, resolve_target};
pub use reconcile::{Reconciler, Reconciliation};
pub use settings::{DeliverSettings, StartDelivererError};
pub use target_changes::{FollowedChanges, TargetChanges};

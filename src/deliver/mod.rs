//! Station 7: tells targets what the outbox holds.
//!
//! The contract: every delivery reaches its target at least once, or is dead and visible; deliveries
//! of one alert reach a target in their order; no target waits for another; a secret is read when it
//! is used and stands in no row, log or error; nothing is sent to an address that is not allowed.
//!
//! [`Dispatcher::tick`] is called every second and returns at once. For every target with something
//! due it starts one turn of [`Deliverer::deliver_due`], unless the last one still runs: claim (a
//! short transaction), send, settle (another). No transaction is open while we wait for a target. A
//! replica that dies in between leaves a lease that lapses, and the delivery is sent again under the
//! same id.
//!
//! [`Reminder::tick`] is called every minute: an Alertmanager forgets what it does not hear again, so
//! it is told of all that lasts, besides what the outbox holds.
//!
//! [`Emergency::tick`] is called every few seconds: it tells of a database that is away, which no
//! outbox can.
//!
//! [`Deliverer::escalate`] is called every second: what a target does not receive is sent to its fallback
//! as well. [`Reconciler::tick`] is called every minute and holds what targets show against
//! how the alerts stand. [`TargetChanges::tick`] is called when definitions come into force: a target under
//! a new name keeps its deliveries, and an added one is notified of what fires.

mod channels;
mod claim;
mod database_outage;
mod deliverer;
mod dispatcher;
mod escalate;
mod http;
mod reconcile;
mod response_class;
mod sender;
mod settings;
mod settle;
mod target_changes;

pub use channels::reminder::{Reminder, ReminderReport};
pub use database_outage::{Emergency, EmergencyReport, EmergencySettings};
pub use deliverer::{Deliverer, DeliveryReport, StartDelivererError};
pub use dispatcher::{Dispatcher, TargetReport};
pub use http::addresses::AddressPolicy;
pub use http::client::BuildClientError;
pub use reconcile::{Reconciler, Repairs};
pub use settings::DeliverSettings;
pub use target_changes::{FollowedChanges, TargetChanges};

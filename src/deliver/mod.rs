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
//! [`Deliverer::hand_over`] is called every second: what a target is not reached with, its fallback is
//! made to tell as well. [`Reconciler::tick`] is called every minute and holds what targets show against
//! how the alerts stand.

mod addresses;
mod alertmanager;
mod claiming;
mod classify;
mod client;
mod deliverer;
mod dispatcher;
mod emergency;
mod excerpt;
mod handing_over;
mod reconciler;
mod request;
mod resolver;
mod routing_key;
mod secrets;
mod sender;
mod settings;
mod settling;
mod signature;
mod slack_bot;

pub use addresses::AddressPolicy;
pub use alertmanager::{Reminder, ReminderReport};
pub use client::BuildClientError;
pub use deliverer::{Deliverer, DeliveryReport, StartDelivererError};
pub use dispatcher::{Dispatcher, TargetReport};
pub use emergency::{Emergency, EmergencyReport, EmergencySettings};
pub use reconciler::{Reconciler, Repairs};
pub use settings::DeliverSettings;

//! The shop's past: its traffic, its problems and its orders. Pure.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::shop::{BUSIEST_PER_MINUTE, Order, Payment, Refund};
use crate::domain::model::time::Timestamp;

pub(super) const DAYS: u32 = 28;
pub(super) const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);
/// The maximum number of orders a day.
const NUMBERS_A_DAY: u64 = 100_000;
/// The number of the first live order.
pub(super) const FIRST_LIVE_NUMBER: u64 = NUMBERS_A_DAY * (DAYS as u64 + 1);

/// The problems of the past.
const OUTAGES: [PastOutage; 2] = [
    PastOutage {
        began_before_now: Duration::from_hours(19 * 24 + 2),
        lasted: Duration::from_mins(12),
        kind: OutageKind::FulfilmentStalled,
    },
    PastOutage {
        began_before_now: Duration::from_hours(6 * 24 + 3),
        lasted: Duration::from_mins(20),
        kind: OutageKind::CardNetworkDown,
    },
];

struct PastOutage {
    began_before_now: Duration,
    lasted: Duration,
    kind: OutageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutageKind {
    FulfilmentStalled,
    /// Two payments of five fail.
    CardNetworkDown,
}

/// An order of the past and its result.
#[derive(Clone, Debug)]
pub(super) struct PastOrder {
    pub(super) order: Order,
    /// When the warehouse took it from `fulfilment`, if it was paid for.
    pub(super) taken_at: Timestamp,
    pub(super) refund: Option<Refund>,
}

/// Returns the orders of the day that began this many days before `now`, except unfinished ones.
pub(super) fn orders_of_day(now: Timestamp, before_now: u32, seed: u64) -> Vec<PastOrder> {
    let mut rng = StdRng::seed_from_u64(seed ^ (u64::from(before_now) << 32));
    let from = now - DAY * before_now;
    let mut number = NUMBERS_A_DAY * u64::from(DAYS - before_now);
    let mut orders = Vec::new();
    for minute in 0..24 * 60 {
        let begins = from + MINUTE * minute;
        for _ in 0..orders_in_minute(&mut rng, now.saturating_since(begins)) {
            number += 1;
            let placed_at = begins + MINUTE.mul_f64(rng.random());
            let order = Order::draw(&mut rng, number, placed_at);
            let order = PastOrder::draw(&mut rng, order, now);
            orders.extend(Some(order).filter(|order| order.is_over_at(now)));
        }
    }
    orders
}

impl PastOrder {
    fn draw(rng: &mut StdRng, mut order: Order, now: Timestamp) -> Self {
        let mut taken_at = order.ready_at();
        match outage_at(now.saturating_since(taken_at)) {
            Some((OutageKind::FulfilmentStalled, left)) => {
                taken_at = taken_at + left + order.wait_in_fulfilment();
            }
            Some((OutageKind::CardNetworkDown, _)) if rng.random_bool(0.4) => {
                order.payment = Payment::Failed;
            }
            Some((OutageKind::CardNetworkDown, _)) | None => {}
        }
        Self {
            refund: Refund::draw(rng, order.number, order.placed_at),
            taken_at,
            order,
        }
    }

    fn is_over_at(&self, now: Timestamp) -> bool {
        let refunded_at = self.refund.as_ref().map(Refund::settled_at);
        self.order.confirmed_at(self.taken_at) < now && refunded_at.is_none_or(|at| at < now)
    }
}

/// Returns the relative traffic at this time before now, which is the busiest hour: quiet nights,
/// and fewer orders on two of seven days.
pub(super) fn busyness(before_now: Duration) -> f64 {
    let days = before_now.as_secs_f64() / DAY.as_secs_f64();
    let daylight = 0.5 + 0.5 * (days * std::f64::consts::TAU).cos();
    let is_weekend = matches!(before_now.as_secs() / DAY.as_secs() % 7, 3 | 4);
    let weekly = if is_weekend { 0.7 } else { 1.0 };
    (0.1 + 0.9 * daylight.powf(2.5)) * weekly
}

fn orders_in_minute(rng: &mut StdRng, before_now: Duration) -> u32 {
    let wanted = BUSIEST_PER_MINUTE * busyness(before_now);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 31"
    )]
    let whole = (wanted + rng.random::<f64>()) as u32;
    whole
}

/// Returns the problem at this time before now, and how much longer it lasted.
fn outage_at(before_now: Duration) -> Option<(OutageKind, Duration)> {
    OUTAGES.iter().find_map(|trouble| {
        let since = trouble.began_before_now.checked_sub(before_now)?;
        let left = trouble.lasted.checked_sub(since)?;
        (left > Duration::ZERO).then_some((trouble.kind, left))
    })
}

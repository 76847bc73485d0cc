//! The simulated shop, whose orders pass four services and three queues.
//!
//! ```text
//! checkout --orders--> payments --fulfilment--> warehouse --notifications--> mailer
//! ```
//!
//! Pure: an [`Order`] is made from random numbers, and its spans follow from the time at which the
//! warehouse took it. Live traffic sends these spans through the SDK; the past is written from the
//! same ones.

use std::time::Duration;

use rand::{Rng, seq::IndexedRandom as _};

use crate::domain::model::{
    span::{OwnedValue, SpanAttributes, SpanKind, SpanStatus},
    time::Timestamp,
};

/// The number of orders a minute in the busiest hour, which is when the demo runs.
pub(super) const BUSIEST_PER_MINUTE: f64 = 30.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Checkout,
    Payments,
    Warehouse,
    Mailer,
}

impl Service {
    pub(super) const ALL: [Self; 4] = [
        Self::Checkout,
        Self::Payments,
        Self::Warehouse,
        Self::Mailer,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Payments => "payments",
            Self::Warehouse => "warehouse",
            Self::Mailer => "mailer",
        }
    }
}

/// The time that payments works at the beginning and at the end of a refund.
const REFUND_WORK: Duration = Duration::from_millis(80);

/// The customers, and the relative frequency of their orders.
const CUSTOMERS: [(&str, f64); 14] = [
    ("acme", 9.0),
    ("globex", 8.0),
    ("initech", 6.0),
    ("hooli", 5.0),
    ("umbrella", 4.0),
    ("stark-industries", 4.0),
    ("wayne-enterprises", 3.0),
    ("tyrell", 3.0),
    ("cyberdyne", 2.0),
    ("soylent", 2.0),
    ("wonka", 2.0),
    ("gringotts", 1.0),
    ("monsters-inc", 1.0),
    ("vandelay", 1.0),
];

/// The result of an order at payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payment {
    Charged,
    /// The customer cancels: no event of any SLO.
    Declined,
    /// The card network is down: a failure.
    Failed,
}

/// One random order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) customer: &'static str,
    pub(super) placed_at: Timestamp,
    pub(super) payment: Payment,
    /// The working time of each service, in the order of [`Service::ALL`].
    work: [Duration; 4],
    /// The waiting time in each of the three queues.
    waits: [Duration; 3],
}

/// The spans of one service for one order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) service: Service,
    pub(super) joined: Joined,
    /// The first encloses the others; the last one sends the message that the next visit receives.
    pub(super) steps: Vec<ShopStep>,
}

/// The relation of a visit's trace to the one before: larger systems have both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Root,
    /// Child of the message's span, and linked to it.
    Child,
    /// A new trace with a link.
    Linked,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShopStep {
    pub(super) name: &'static str,
    pub(super) kind: SpanKind,
    pub(super) status: SpanStatus,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: SpanAttributes,
}

impl Visit {
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        self.steps.iter().map(|step| step.end).max()
    }
}

/// A refund of an order of the past.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) number: u64,
    pub(super) customer: &'static str,
    pub(super) requested_at: Timestamp,
    settles_after: Duration,
    /// True if the card network accepts it.
    pub(super) status: SpanStatus,
}

impl Order {
    pub(super) fn draw(rng: &mut impl Rng, number: u64, placed_at: Timestamp) -> Self {
        let mut millis = |range| Duration::from_millis(rng.random_range(range));
        let work = [
            millis(40..120),
            millis(300..1_200),
            millis(400..1_500),
            millis(150..600),
        ];
        let mut waits = [millis(200..900), millis(300..1_500), millis(100..600)];
        // Sometimes a worker restarts, and another one continues its work.
        if rng.random_bool(0.0008) {
            waits[1] += Duration::from_secs(rng.random_range(20..55));
        }
        let payment = match rng.random_range(0..10_000) {
            0..4 => Payment::Failed,
            4..150 => Payment::Declined,
            _ => Payment::Charged,
        };
        Self {
            number,
            customer: customer(rng),
            placed_at,
            payment,
            work,
            waits,
        }
    }

    /// Returns when payments has finished, with any result.
    pub(super) fn paid_at(&self) -> Timestamp {
        self.placed_at + self.work[0] + self.waits[0] + self.work[1]
    }

    /// Returns when the warehouse takes it from `fulfilment`, unless that stalls.
    pub(super) fn ready_at(&self) -> Timestamp {
        self.paid_at() + self.waits[1]
    }

    /// Returns when the warehouse has finished, if it was taken at `taken`.
    pub(super) fn packed_at(&self, taken: Timestamp) -> Timestamp {
        taken + self.work[2]
    }

    /// Returns when the mail is sent, if it was taken from `fulfilment` at `taken`.
    pub(super) fn confirmed_at(&self, taken: Timestamp) -> Timestamp {
        self.packed_at(taken) + self.waits[2] + self.work[3]
    }

    /// Returns the time that a message waits in a queue that is being worked off.
    pub(super) fn wait_in_fulfilment(&self) -> Duration {
        self.waits[1]
    }

    /// Returns the visits before the order waits in `fulfilment`.
    pub(super) fn before_fulfilment(&self) -> Vec<Visit> {
        let placed = self.placed_at;
        let published = placed + self.work[0];
        let taken = published + self.waits[0];
        let checkout = Visit {
            service: Service::Checkout,
            joined: Joined::Root,
            steps: vec![
                self.step("POST /orders", SpanKind::Server, placed, published),
                self.publish("orders publish", "orders", placed, published),
            ],
        };
        vec![checkout, self.at_payments(taken, self.paid_at())]
    }

    fn at_payments(&self, taken: Timestamp, done: Timestamp) -> Visit {
        let mut process = self.take_out("orders process", "orders", taken, done);
        let mut charge = self.step("card charge", SpanKind::Client, taken, done);
        let mut steps = Vec::with_capacity(3);
        match self.payment {
            Payment::Charged => {
                let publish = self.publish("fulfilment publish", "fulfilment", done, done);
                steps.extend([process, charge, publish]);
            }
            Payment::Declined => {
                process.attributes.push(text("order.state", "cancelled"));
                steps.extend([process, charge]);
            }
            Payment::Failed => {
                charge.status = SpanStatus::Error;
                process.status = SpanStatus::Error;
                process.attributes.push(text("order.state", "failed"));
                steps.extend([process, charge]);
            }
        }
        Visit {
            service: Service::Payments,
            joined: Joined::Child,
            steps,
        }
    }

    /// Returns the visits after the warehouse has taken it from `fulfilment`; none for an order
    /// that was not paid for.
    pub(super) fn after_fulfilment(&self, taken: Timestamp) -> Vec<Visit> {
        if self.payment != Payment::Charged {
            return Vec::new();
        }
        let packed = self.packed_at(taken);
        let mailed_from = packed + self.waits[2];
        let confirmed = self.confirmed_at(taken);
        let warehouse = Visit {
            service: Service::Warehouse,
            joined: Joined::Linked,
            steps: vec![
                self.take_out("fulfilment process", "fulfilment", taken, packed),
                self.step("stock reserve", SpanKind::Internal, taken, packed),
                self.publish("notifications publish", "notifications", packed, packed),
            ],
        };
        let mailer = Visit {
            service: Service::Mailer,
            joined: Joined::Child,
            steps: vec![
                self.take_out(
                    "notifications process",
                    "notifications",
                    mailed_from,
                    confirmed,
                ),
                self.step(
                    "confirmation send",
                    SpanKind::Client,
                    mailed_from,
                    confirmed,
                ),
            ],
        };
        vec![warehouse, mailer]
    }

    fn step(
        &self,
        name: &'static str,
        kind: SpanKind,
        start: Timestamp,
        end: Timestamp,
    ) -> ShopStep {
        ShopStep {
            name,
            kind,
            status: SpanStatus::Unset,
            start,
            end,
            attributes: vec![
                ("order.id".to_owned(), OwnedValue::String(self.id())),
                text("customer.id", self.customer),
            ],
        }
    }

    fn publish(
        &self,
        name: &'static str,
        queue: &'static str,
        start: Timestamp,
        end: Timestamp,
    ) -> ShopStep {
        let mut step = self.step(name, SpanKind::Producer, start, end);
        self.describe_message(&mut step, queue, ["publish", "send"]);
        step
    }

    fn take_out(
        &self,
        name: &'static str,
        queue: &'static str,
        start: Timestamp,
        end: Timestamp,
    ) -> ShopStep {
        let mut step = self.step(name, SpanKind::Consumer, start, end);
        self.describe_message(&mut step, queue, ["process", "process"]);
        step
    }

    fn describe_message(&self, step: &mut ShopStep, queue: &str, [operation, kind]: [&str; 2]) {
        let placed_at = self.placed_at.as_micros() / 1_000;
        let message = format!("{queue}-{}", self.number);
        step.attributes.extend([
            text("messaging.system", "rabbitmq"),
            text("messaging.destination.name", queue),
            text("messaging.operation.name", operation),
            text("messaging.operation.type", kind),
            (
                "messaging.message.id".to_owned(),
                OwnedValue::String(message),
            ),
            ("order.placed_at".to_owned(), OwnedValue::Int(placed_at)),
        ]);
    }

    fn id(&self) -> String {
        format!("order-{}", self.number)
    }
}

impl Refund {
    /// Draws a refund for one order in forty, an hour or a week later: of an order before `number`.
    pub(super) fn draw(rng: &mut impl Rng, number: u64, requested_at: Timestamp) -> Option<Self> {
        rng.random_bool(1.0 / 40.0).then(|| Self {
            number,
            customer: customer(rng),
            requested_at,
            settles_after: Duration::from_secs(rng.random_range(15..75)),
            status: if rng.random_bool(0.004) {
                SpanStatus::Error
            } else {
                SpanStatus::Unset
            },
        })
    }

    pub(super) fn settled_at(&self) -> Timestamp {
        self.requested_at + self.settles_after + REFUND_WORK
    }

    /// Returns the request and, later, the settlement.
    pub(super) fn visits(&self) -> Vec<Visit> {
        let settled_from = self.requested_at + self.settles_after;
        vec![
            self.visit("refund request", self.requested_at, SpanStatus::Unset),
            self.visit("refund settle", settled_from, self.status),
        ]
    }

    fn visit(&self, name: &'static str, start: Timestamp, status: SpanStatus) -> Visit {
        let text_of = |key: &str, text: String| (key.to_owned(), OwnedValue::String(text));
        let order = self.number.saturating_sub(40);
        let mut attributes = vec![
            text_of("order.id", format!("order-{order}")),
            text_of("refund.id", format!("refund-{}", self.number)),
            text("customer.id", self.customer),
        ];
        if status == SpanStatus::Error {
            attributes.push(text("refund.state", "rejected"));
        }
        Visit {
            service: Service::Payments,
            joined: Joined::Root,
            steps: vec![ShopStep {
                name,
                kind: SpanKind::Server,
                status,
                start,
                end: start + REFUND_WORK,
                attributes,
            }],
        }
    }
}

fn customer(rng: &mut impl Rng) -> &'static str {
    CUSTOMERS
        .choose_weighted(rng, |(_, weight)| *weight)
        .map_or("acme", |(name, _)| name)
}

fn text(key: &str, value: &str) -> (String, OwnedValue) {
    (key.to_owned(), OwnedValue::from(value))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn orders() -> Vec<Order> {
        let mut rng = StdRng::seed_from_u64(7);
        (0..10_000)
            .map(|number| Order::draw(&mut rng, number, Timestamp::from_secs(1_800_000_000)))
            .collect()
    }

    #[test]
    fn no_service_speaks_of_an_order_before_the_one_before_has_sent_it_on() {
        for order in orders() {
            let mut visits = order.before_fulfilment();
            visits.extend(order.after_fulfilment(order.ready_at()));
            let mut sent_on = order.placed_at;
            for visit in visits {
                let whole = &visit.steps[0];
                assert!(whole.start >= sent_on, "{visit:?}");
                let is_within =
                    |step: &ShopStep| step.start >= whole.start && step.end <= whole.end;
                assert!(visit.steps.iter().all(is_within), "{visit:?}");
                sent_on = whole.end;
            }
        }
    }

    #[test]
    fn nearly_all_orders_that_nothing_keeps_waiting_are_confirmed_in_time() {
        let within = Duration::from_secs(20);
        let late = |order: &&Order| order.confirmed_at(order.ready_at()) > order.placed_at + within;
        let late = orders().iter().filter(late).count();
        assert!((1..30).contains(&late), "{late}");
    }

    #[test]
    fn the_same_seed_gives_the_same_shop() {
        assert_eq!(format!("{:?}", orders()), format!("{:?}", orders()));
    }
}

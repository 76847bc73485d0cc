//! Days of traffic in seconds: workflows of all shapes, whose spans are lost, doubled, delayed and
//! reordered, over three replicas that are killed between any two steps. Whatever happens, what is
//! counted equals the verdicts of an oracle that sees all spans at once and shares no code with the
//! product.
//!
//! A run that fails says its seed; `SIMULATION_SEED` repeats it.

mod contract;
mod correlation;
mod disorder;
mod evidence;
mod found;
mod op;
mod oracle;
mod shapes;
mod story;
mod tally;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use throughline::domain::model::{
    span::Span,
    time::{TimeRange, Timestamp},
};

use self::{
    disorder::{arrivals, disordered, requests, step},
    oracle::{Event, judge},
    shapes::Shapes,
    story::moved,
    tally::{counted, counted_customers, differences, expected, expected_customers},
    world::TestBench,
};
use crate::support::lists;

const HOUR: Duration = Duration::from_hours(1);
const BATCHES: u32 = 25;
const ORDERS_PER_BATCH: u32 = 40;
const STEPS_PER_BATCH: usize = 5;
const WORKFLOWS_PER_ORDER: u32 = 12;

const DAYS: u32 = 8;
const STEP: Duration = Duration::from_hours(1);
const WORKFLOWS_PER_STEP: usize = 10;

#[expect(clippy::print_stdout, reason = "shown with what failed")]
fn seed() -> u64 {
    let given = std::env::var_os("SIMULATION_SEED");
    let given = given.map(|text| text.to_str().unwrap().parse().unwrap());
    let seed = given.unwrap_or_else(rand::random);
    println!("SIMULATION_SEED={seed}");
    seed
}

/// On a whole hour.
fn at(hours: u32) -> Timestamp {
    Timestamp::from_secs(1_795_305_600) + HOUR * hours
}

fn verdicts(spans: &[Span], watermark: Timestamp) -> Vec<Event> {
    let contracts = contract::ALL.iter();
    let all = contracts.flat_map(|contract| judge(contract, spans, watermark.as_micros()));
    all.collect()
}

fn later(event: &Event, by: i64) -> Event {
    Event {
        at: event.at + by,
        ..event.clone()
    }
}

/// The same spans in many orders, each an hour after the one before: all hours must be alike.
#[tokio::test]
async fn a_thousand_random_orders_with_duplicates_and_kills_over_three_replicas_give_identical_buckets()
 {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let orders = BATCHES * ORDERS_PER_BATCH;
    let world = TestBench::new(TimeRange::new(at(0) - HOUR * 48, at(orders + 48))).await;
    let mut events = Vec::new();
    let scenarios = scenarios(&mut random, at(orders + 48));
    for (batch, (spans, judged)) in (0..).zip(scenarios) {
        let first = batch * ORDERS_PER_BATCH;
        let mut all = Vec::new();
        for order in first..first + ORDERS_PER_BATCH {
            let by = i64::from(order) * 3_600_000_000;
            all.extend(spans.iter().map(|span| moved(span, order, by)));
            events.extend(judged.iter().map(|event| later(event, by)));
        }
        let mut requests = disordered(&mut random, &all);
        for nth in (0..STEPS_PER_BATCH).rev() {
            let rest = requests.split_off(requests.len() * nth / (nth + 1));
            let passed = u32::try_from(STEPS_PER_BATCH - nth).unwrap() * ORDERS_PER_BATCH;
            let now = at(first) + HOUR * passed / u32::try_from(STEPS_PER_BATCH).unwrap();
            world.take(step(&mut random, now, rest)).await;
        }
    }
    world.settle(at(orders + 48)).await;
    assert!(world.deaths() > 50, "{} deaths", world.deaths());
    check(&world, &events, &format!("SIMULATION_SEED={seed}")).await;
}

/// Longer than an epoch. For three hours of one day nothing is received, and replicas die as ever; some
/// spans are on their way when it ends.
#[tokio::test]
async fn days_of_traffic_of_every_shape_equal_the_oracle() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut traffic = Traffic::of_days(&mut random);
    let world = TestBench::new(TimeRange::new(at(0) - HOUR * 48, at(DAYS * 24 + 96))).await;
    let outage = random.random_range(24..DAYS * 24 - 24);
    let outage = TimeRange::new(at(outage), at(outage + 3));
    let mut now = at(0);
    while now < at(DAYS * 24) {
        now = now + STEP;
        if !outage.contains(now) {
            let arrived = requests(&mut random, traffic.arrived_by(now));
            world.take(step(&mut random, now, arrived)).await;
        }
    }
    let end = now + HOUR;
    assert_eq!(world.settle(end).await, end);
    let judged = verdicts(&traffic.delivered(), end);
    assert!(has_all_outcomes(&judged));
    check(&world, &judged, &format!("SIMULATION_SEED={seed}")).await;
}

/// Spans, and when they arrive.
struct Traffic {
    spans: Vec<Span>,
    arrivals: BTreeMap<Timestamp, Vec<usize>>,
    delivered: BTreeSet<usize>,
}

impl Traffic {
    fn of_days(random: &mut StdRng) -> Self {
        let mut traffic = Self {
            spans: Vec::new(),
            arrivals: BTreeMap::new(),
            delivered: BTreeSet::new(),
        };
        let mut traces = 0;
        for _ in 0..usize::try_from(DAYS * 24).unwrap() * WORKFLOWS_PER_STEP {
            let mut shapes = Shapes {
                random,
                traces,
                latest: 5 * 3_600_000_000,
            };
            let start = at(0)
                + Duration::from_secs(shapes.random.random_range(0..u64::from(DAYS) * 86_400));
            let spans = shapes.workflow(start);
            traces = shapes.traces;
            for span in spans {
                traffic.send(random, span);
            }
        }
        traffic
    }

    fn send(&mut self, random: &mut StdRng, span: Span) {
        let end = Timestamp::from_unix_nanos(span.end_unix_nano);
        for after in arrivals(random) {
            let at = end + Duration::from_secs(after.unsigned_abs());
            self.arrivals.entry(at).or_default().push(self.spans.len());
        }
        self.spans.push(span);
    }

    /// What has arrived since it was asked for last.
    fn arrived_by(&mut self, now: Timestamp) -> Vec<Span> {
        let later = self.arrivals.split_off(&now);
        let arrived = std::mem::replace(&mut self.arrivals, later);
        let arrived: Vec<usize> = arrived.into_values().flatten().collect();
        self.delivered.extend(&arrived);
        arrived
            .into_iter()
            .map(|nth| self.spans[nth].clone())
            .collect()
    }

    fn delivered(&self) -> Vec<Span> {
        self.delivered
            .iter()
            .map(|nth| self.spans[*nth].clone())
            .collect()
    }
}

async fn check(world: &TestBench, events: &[Event], case: &str) {
    let (counts, expected) = (counted(world).await, expected(events));
    let differ = differences(&counts, &expected);
    assert!(counts == expected, "{case}: {differ}");
    let (customers, expected) = (counted_customers(world).await, expected_customers(events));
    let differ = differences(&customers, &expected);
    assert!(customers == expected, "{case}: {differ}");
    let differ = lists::differences(&mut world.database().connect().await).await;
    assert!(differ.is_empty(), "{case}: {differ:?}");
}

/// What never happens is not tested.
fn has_all_outcomes<'e>(events: impl IntoIterator<Item = &'e Event>) -> bool {
    let outcomes: BTreeSet<_> = events.into_iter().map(|event| event.outcome).collect();
    outcomes.len() == 10
}

/// A scenario for each batch with what is to be counted, drawn anew until every outcome is among them: some
/// are so rare that few workflows may have none.
fn scenarios(random: &mut StdRng, now: Timestamp) -> Vec<(Vec<Span>, Vec<Event>)> {
    loop {
        let drawn = (0..BATCHES).map(|_| {
            let spans = scenario(random);
            let judged = verdicts(&spans, now);
            (spans, judged)
        });
        let drawn: Vec<_> = drawn.collect();
        if has_all_outcomes(drawn.iter().flat_map(|(_, judged)| judged)) {
            return drawn;
        }
    }
}

/// Workflows that begin and end within an hour.
fn scenario(random: &mut StdRng) -> Vec<Span> {
    let mut shapes = Shapes {
        random,
        traces: 0,
        latest: 600_000_000,
    };
    let mut spans = Vec::new();
    for _ in 0..WORKFLOWS_PER_ORDER {
        let start = at(0) + Duration::from_secs(shapes.random.random_range(300..1_500));
        spans.extend(shapes.workflow(start));
    }
    spans
}

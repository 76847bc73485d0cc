//! Days of traffic in seconds: workflows of all shapes, whose spans are lost, doubled, delayed and
//! reordered, over three replicas that are killed between any two steps. Whatever happens, what is
//! counted equals the verdicts of an oracle that sees all spans at once and shares no code with the
//! product.
//!
//! A run that fails says its seed; `SIMULATION_SEED` repeats it.

mod contract;
mod generate;
mod op;
mod oracle;
mod tally;
mod world;

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use throughline::domain::{
    span::Span,
    time::{TimeRange, Timestamp},
};

use self::{
    generate::{Generator, moved},
    oracle::{Event, judge},
    tally::{counted, differences, expected},
    world::World,
};

const HOUR: Duration = Duration::from_hours(1);
const BATCHES: u32 = 25;
const ORDERS_PER_BATCH: u32 = 40;
const STEPS_PER_BATCH: usize = 6;
const WORKFLOWS_PER_ORDER: u32 = 25;

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
    let world = World::new(TimeRange::new(at(0) - HOUR * 48, at(orders + 48))).await;
    let mut events = Vec::new();
    for batch in 0..BATCHES {
        let first = batch * ORDERS_PER_BATCH;
        let mut generator = Generator {
            random: &mut random,
            traces: 0,
        };
        let spans = scenario(&mut generator);
        let judged = verdicts(&spans, at(orders + 48));
        let mut all = Vec::new();
        for order in first..first + ORDERS_PER_BATCH {
            let by = i64::from(order) * 3_600_000_000;
            all.extend(spans.iter().map(|span| moved(span, order, by)));
            events.extend(judged.iter().map(|event| later(event, by)));
        }
        let mut requests = generator.requests(&all);
        for nth in (0..STEPS_PER_BATCH).rev() {
            let rest = requests.split_off(requests.len() * nth / (nth + 1));
            let passed = u32::try_from(STEPS_PER_BATCH - nth).unwrap() * ORDERS_PER_BATCH;
            let now = at(first) + HOUR * passed / u32::try_from(STEPS_PER_BATCH).unwrap();
            let step = generator.step(now, rest);
            world.take(step).await;
        }
    }
    world.settle(at(orders + 48)).await;
    let (counted, expected) = (counted(&world).await, expected(&events));
    assert!(world.deaths() > 50, "{} deaths", world.deaths());
    assert!(
        counted == expected,
        "seed {seed}: {}",
        differences(&counted, &expected)
    );
}

/// Workflows that begin and end within an hour.
fn scenario(generator: &mut Generator<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    for _ in 0..WORKFLOWS_PER_ORDER {
        let start = at(0) + Duration::from_secs(generator.random.random_range(300..1_500));
        spans.extend(generator.workflow(start));
    }
    spans
}

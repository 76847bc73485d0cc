//! The orders in which spans arrive, more than once some of them, and who is killed meanwhile.

use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};
use throughline::domain::model::{span::Span, time::Timestamp};

use super::op::{Kill, REPLICAS, Request, Step};

/// The share of spans that arrive again.
const DUPLICATED: f64 = 0.3;

/// Requests of a few spans each in any order, some spans more than once, each to any replica.
pub(super) fn disordered(random: &mut StdRng, spans: &[Span]) -> Vec<Request> {
    let mut sent = spans.to_vec();
    let again = spans.iter().filter(|_| random.random_bool(DUPLICATED));
    sent.extend(again.cloned());
    sent.shuffle(random);
    requests(random, sent)
}

/// In requests of a few each.
pub(super) fn requests(random: &mut StdRng, mut spans: Vec<Span>) -> Vec<Request> {
    let mut requests = Vec::new();
    while !spans.is_empty() {
        let left = spans.len().saturating_sub(random.random_range(1..10));
        requests.push(Request {
            replica: random.random_range(0..REPLICAS),
            spans: spans.split_off(left),
        });
    }
    requests
}

/// Some replicas take their turn, and some are killed.
pub(super) fn step(random: &mut StdRng, now: Timestamp, requests: Vec<Request>) -> Step {
    let mut some = |share| {
        let replicas = 0..REPLICAS;
        let chosen = replicas.filter(|_| random.random_bool(share));
        chosen.collect::<Vec<_>>()
    };
    let (turns, victims) = (some(0.6), some(0.3));
    let kill = |replica| Kill {
        replica,
        breaths: random.random_range(0..60),
    };
    Step {
        now,
        requests,
        turns,
        kills: victims.into_iter().map(kill).collect(),
    }
}

/// How long after its end a span arrives, in seconds: most soon, some after hours and days of retries.
fn delay(random: &mut StdRng) -> i64 {
    match random.random_range(0..100) {
        0..70 => random.random_range(0..30),
        70..90 => random.random_range(0..600),
        90..98 => random.random_range(0..3 * 3_600),
        _ => random.random_range(0..48 * 3_600),
    }
}

/// When a span arrives, once or twice.
pub(super) fn arrivals(random: &mut StdRng) -> Vec<i64> {
    let mut arrivals = vec![delay(random)];
    if random.random_bool(DUPLICATED) {
        arrivals.push(delay(random));
    }
    arrivals
}

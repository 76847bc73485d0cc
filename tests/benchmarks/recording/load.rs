//! What is recorded: evidence of events that no one has heard of, or of workflows whose starts and
//! ends come far apart.

use std::time::Duration;

use throughline::domain::{
    group::GroupValues,
    names::{SloId, TraceId},
    time::Timestamp,
    workflow::{EventKey, Evidence, Fact, SpanOutcome},
};

const SLO: SloId = SloId(1);
const WITHIN: Duration = Duration::from_hours(1);

/// Makes batches of evidence, one after the other.
pub(super) struct Load {
    now: Timestamp,
    shape: Shape,
    /// Raised for each event; the first differs by connection, so no two make the same.
    next: u64,
    /// Started and not finished.
    open: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// One span decides: an event each.
    Events,
    /// Half of the spans begin a workflow; once so many are open, the others end one of them.
    Workflows { in_flight: usize },
}

impl Load {
    pub(super) fn new(shape: Shape, connection: u32, now: Timestamp) -> Self {
        Self {
            now,
            shape,
            next: u64::from(connection) << 32,
            open: Vec::new(),
        }
    }

    pub(super) fn is_filling(&self) -> bool {
        match self.shape {
            Shape::Events => false,
            Shape::Workflows { in_flight } => self.open.len() < in_flight,
        }
    }

    /// How many events or finished workflows a batch of `spans` makes.
    pub(super) fn yields(&self, spans: usize) -> usize {
        match self.shape {
            Shape::Events => spans,
            Shape::Workflows { .. } => spans / 2,
        }
    }

    pub(super) fn batch(&mut self, spans: usize) -> Vec<Evidence> {
        let is_filling = self.is_filling();
        (0..spans)
            .map(|number| match self.shape {
                Shape::Events => self.event(),
                Shape::Workflows { .. } if is_filling || number % 2 == 0 => self.start(),
                Shape::Workflows { .. } => self.finish(),
            })
            .collect()
    }

    fn event(&mut self) -> Evidence {
        let number = self.take_number();
        let fact = Fact::Decided {
            started: self.now,
            at: self.now,
            outcome: SpanOutcome::Good,
        };
        evidence(number, fact)
    }

    fn start(&mut self) -> Evidence {
        let number = self.take_number();
        self.open.push(number);
        let (at, within) = (self.now, WITHIN);
        evidence(number, Fact::Started { at, within })
    }

    fn finish(&mut self) -> Evidence {
        let place = usize::try_from(mix(self.next)).unwrap() % self.open.len();
        let number = self.open.swap_remove(place);
        evidence(number, Fact::Succeeded { at: self.now })
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn evidence(number: u64, fact: Fact) -> Evidence {
    let key = key(number);
    Evidence {
        slo: SLO,
        key: EventKey(key),
        label: format!("order-{number:012}"),
        fact,
        trace_id: TraceId::from_slice(&key).unwrap(),
        customer: Some(format!("customer-{}", number % 1_000)),
        sample: None,
        group: GroupValues::default(),
    }
}

/// As random as a hash.
pub(super) fn key(number: u64) -> [u8; 16] {
    (u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_be_bytes()
}

/// The finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

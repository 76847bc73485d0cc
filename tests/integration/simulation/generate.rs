//! Workflows of all shapes, and the orders in which their spans arrive.

use std::sync::Arc;

use rand::{
    Rng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use throughline::domain::{
    names::{SpanId, TraceId},
    span::{OwnedValue, Span, SpanKind, SpanStatus},
    time::Timestamp,
};

use super::{
    contract::{ALL, Contract, Identity},
    op::{Kill, REPLICAS, Request, Step},
};

const SECOND: i64 = 1_000_000;
/// Shares of spans: those that never arrive, and those that arrive again.
const LOST: f64 = 0.06;
const DUPLICATED: f64 = 0.3;

/// A source of workflows. No two of them share a trace.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    pub(super) random: &'a mut StdRng,
    pub(super) traces: u64,
}

/// One workflow while it is made up.
struct Story {
    contract: &'static Contract,
    trace_id: TraceId,
    start: i64,
    spans: Vec<Span>,
}

impl Generator<'_> {
    /// What is left of one workflow that started at `start`, of any SLO.
    pub(super) fn workflow(&mut self, start: Timestamp) -> Vec<Span> {
        let contract = ALL.choose(self.random).unwrap();
        let mut story = self.story(contract, start);
        self.start(&mut story);
        self.end(&mut story);
        self.pause(&mut story);
        self.say(&mut story);
        story.spans.retain(|_| !self.random.random_bool(LOST));
        story.spans
    }

    fn story(&mut self, contract: &'static Contract, start: Timestamp) -> Story {
        let mut trace_id = [0; 16];
        self.traces += 1;
        trace_id[..8].copy_from_slice(&self.traces.to_be_bytes());
        trace_id[8..].copy_from_slice(&self.random.random::<u64>().to_be_bytes());
        Story {
            contract,
            trace_id: TraceId::from_slice(&trace_id).unwrap(),
            start: start.as_micros(),
            spans: Vec::new(),
        }
    }

    /// Some starts are never told of, and some twice, as when a click is.
    fn start(&mut self, story: &mut Story) {
        for _ in 0..*[1, 1, 1, 1, 1, 1, 2, 0].choose(self.random).unwrap() {
            let at = self.random.random_range(0..2) * SECOND;
            story.tell("start", at, at + 1_000);
        }
    }

    fn end(&mut self, story: &mut Story) {
        let within = story.contract.within * SECOND;
        let soon = self.random.random_range(1_000..within);
        let later = within + self.random.random_range(0..10 * 60 * SECOND);
        let any = *[soon, later].choose(self.random).unwrap();
        match self.random.random_range(0..12) {
            0..=3 => story.tell("finish", 0, soon),
            4 => story.tell("finish", within, later),
            // To the microsecond, and a whole second off.
            5 => story.tell("finish", 0, within + self.random.random_range(-1..=1)),
            6 => story.tell("dead letter", any, any),
            7 => story.tell("cancel", any, any),
            8 => {
                // Attempts that fail, one that succeeds, and a message that is delivered again.
                story.tell("finish", 0, soon / 2);
                story.fail_last();
                story.tell("finish", soon / 2, any);
                story.tell("finish", any, later + within);
            }
            9 => {
                story.tell("dead letter", 0, soon);
                story.tell("cancel", soon, any);
                if self.random.random() {
                    story.tell("finish", later, later);
                }
            }
            // The clock of whoever ends it is behind.
            10 => {
                let at = -self.random.random_range(0..3 * SECOND);
                let role = ["finish", "dead letter", "cancel"]
                    .choose(self.random)
                    .unwrap();
                story.tell(role, at, at);
            }
            _ => {}
        }
    }

    fn pause(&mut self, story: &mut Story) {
        for _ in 0..*[0, 0, 0, 1, 1, 2, 4].choose(self.random).unwrap() {
            let from = self.random.random_range(-60..300) * SECOND;
            let length = self.random.random_range(0..200) * SECOND;
            story.tell("pause", from, from + length);
        }
    }

    /// Who it is for stands on some of its spans.
    fn say(&mut self, story: &mut Story) {
        let customer = format!("customer-{}", self.random.random_range(0..7));
        let kind = *["new", "change", "return"].choose(self.random).unwrap();
        let order = format!("order-{}", story.trace_id);
        for span in &mut story.spans {
            if story.contract.identity == Identity::Order {
                add(span, "order.id", order.as_str());
                span.trace_id = TraceId::from_slice(&self.random.random::<[u8; 16]>()).unwrap();
            }
            if self.random.random_bool(0.7) {
                add(span, "customer", customer.as_str());
            }
            if self.random.random_bool(0.6) {
                add(span, "kind", kind);
            }
        }
    }

    /// Requests of a few spans each in any order, some spans more than once, each to any replica.
    pub(super) fn requests(&mut self, spans: &[Span]) -> Vec<Request> {
        let mut sent = spans.to_vec();
        sent.extend(
            spans
                .iter()
                .filter(|_| self.random.random_bool(DUPLICATED))
                .cloned(),
        );
        sent.shuffle(self.random);
        let mut requests = Vec::new();
        while !sent.is_empty() {
            let left = sent.len().saturating_sub(self.random.random_range(1..8));
            requests.push(Request {
                replica: self.random.random_range(0..REPLICAS),
                spans: sent.split_off(left),
            });
        }
        requests
    }

    /// Some replicas take their turn, and some are killed.
    pub(super) fn step(&mut self, now: Timestamp, requests: Vec<Request>) -> Step {
        let mut some = |share| {
            let replicas: Vec<usize> = (0..REPLICAS).collect();
            let chosen = replicas
                .into_iter()
                .filter(|_| self.random.random_bool(share));
            chosen.collect::<Vec<_>>()
        };
        let (turns, victims) = (some(0.6), some(0.3));
        let kill = |replica| Kill {
            replica,
            breaths: self.random.random_range(0..60),
        };
        Step {
            now,
            requests,
            turns,
            kills: victims.into_iter().map(kill).collect(),
        }
    }
}

impl Story {
    /// A span from and to, counted from the start of the workflow.
    fn tell(&mut self, role: &str, from: i64, to: i64) {
        let nanos = |at: i64| u64::try_from(self.start + at).unwrap() * 1_000;
        let number = u64::try_from(self.spans.len()).unwrap() + 1;
        self.spans.push(Span {
            trace_id: self.trace_id,
            span_id: SpanId::from_slice(&number.to_be_bytes()).unwrap(),
            parent_span_id: None,
            name: format!("{} {role}", self.contract.name),
            kind: SpanKind::Consumer,
            status: SpanStatus::Unset,
            status_message: String::new(),
            start_unix_nano: nanos(from),
            end_unix_nano: nanos(to),
            trace_state: String::new(),
            dropped_links_count: 0,
            attributes: Vec::new(),
            resource: Arc::default(),
            instrumentation: Arc::default(),
            events: Vec::new(),
            links: Vec::new(),
        });
    }

    fn fail_last(&mut self) {
        if let Some(span) = self.spans.last_mut() {
            span.status = SpanStatus::Error;
        }
    }
}

fn add(span: &mut Span, key: &str, value: impl Into<OwnedValue>) {
    span.attributes.push((key.to_owned(), value.into()));
}

/// The same span as one of another workflow that is as old by `later` less, told apart by `order`.
pub(super) fn moved(span: &Span, order: u32, later: i64) -> Span {
    let nanos = |at: u64| at + u64::try_from(later).unwrap() * 1_000;
    let mut moved = Span {
        trace_id: in_order(span.trace_id, order),
        start_unix_nano: nanos(span.start_unix_nano),
        end_unix_nano: nanos(span.end_unix_nano),
        ..span.clone()
    };
    for (key, value) in &mut moved.attributes {
        if let ("order.id", OwnedValue::String(id)) = (key.as_str(), value) {
            *id = format!("{id} in {order}");
        }
    }
    moved
}

fn in_order(trace_id: TraceId, order: u32) -> TraceId {
    let mut bytes = *trace_id.as_bytes();
    bytes[..4].copy_from_slice(&order.to_be_bytes());
    TraceId::from_slice(&bytes).unwrap()
}

//! One workflow while it is made up.

use throughline::domain::model::{
    ids::{SpanId, TraceId},
    span::{Link, OwnedValue, Span},
    time::Timestamp,
};

use super::contract::Contract;
use crate::support::span::{span, span_id};

/// A span, told of or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
}

/// Times are counted in microseconds from the start of the workflow.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) contract: &'static Contract,
    pub(super) trace_id: TraceId,
    pub(super) start: i64,
    pub(super) spans: Vec<Span>,
    /// Spans that were ever told of.
    pub(super) numbers: u64,
}

impl Story {
    /// One of another workflow of the same time.
    pub(super) const fn another(&self, trace_id: TraceId) -> Self {
        Self {
            contract: self.contract,
            trace_id,
            start: self.start,
            spans: Vec::new(),
            numbers: 0,
        }
    }

    /// Where its first span is, or would be.
    pub(super) fn root(&self) -> Place {
        Place {
            trace_id: self.trace_id,
            span_id: span_id(1),
        }
    }

    pub(super) fn tell(&mut self, role: &str, from: i64, to: i64) -> &mut Span {
        self.numbers += 1;
        let name = format!("{} {role}", self.contract.name);
        let span = span(&name).consumer().trace_of(self.trace_id.as_bytes());
        let span = span.id(self.numbers).between(secs(from), secs(to));
        self.spans
            .push(span.build(Timestamp::from_micros(self.start)));
        self.spans.last_mut().unwrap()
    }
}

#[expect(clippy::cast_precision_loss, reason = "days of a test")]
fn secs(micros: i64) -> f64 {
    micros as f64 / 1e6
}

impl From<&Span> for Place {
    fn from(span: &Span) -> Self {
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
        }
    }
}

pub(super) fn add(span: &mut Span, key: &str, value: impl Into<OwnedValue>) {
    span.attributes.push((key.to_owned(), value.into()));
}

pub(super) fn link(span: &mut Span, to: Place) -> &mut Link {
    span.links.push(Link {
        trace_id: Some(to.trace_id),
        span_id: Some(to.span_id),
        trace_state: String::new(),
        attributes: Vec::new(),
    });
    span.links.last_mut().unwrap()
}

pub(super) fn add_to_link(link: &mut Link, key: &str, value: &str) {
    link.attributes.push((key.to_owned(), value.into()));
}

/// The same span of another workflow that is so much later, told apart by `order`.
pub(super) fn moved(span: &Span, order: u32, later: i64) -> Span {
    let nanos = |at: u64| at + u64::try_from(later).unwrap() * 1_000;
    let mut moved = Span {
        trace_id: in_order(span.trace_id, order),
        start_unix_nano: nanos(span.start_unix_nano),
        end_unix_nano: nanos(span.end_unix_nano),
        ..span.clone()
    };
    rename(&mut moved.attributes, order);
    for link in &mut moved.links {
        link.trace_id = link.trace_id.map(|trace_id| in_order(trace_id, order));
        rename(&mut link.attributes, order);
    }
    moved
}

fn rename(attributes: &mut [(String, OwnedValue)], order: u32) {
    for (key, value) in attributes {
        if let ("order.id", OwnedValue::String(id)) = (key.as_str(), value) {
            *id = format!("{id} in {order}");
        }
    }
}

fn in_order(trace_id: TraceId, order: u32) -> TraceId {
    let mut bytes = *trace_id.as_bytes();
    bytes[..4].copy_from_slice(&order.to_be_bytes());
    TraceId::from_slice(&bytes).unwrap()
}

//! Chains of traces: each links to the one before it, and all belong to the sample if the first
//! does.
//!
//! For the later traces only the spans of messages are known. A span may arrive before the one that
//! joins its trace to the chain, so such spans wait for a while.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{StoredSpan, admission::SampleAdmission};
use crate::domain::model::ids::TraceId;

/// The limit of links in a chain. In a loop each round may link to the one before.
const MAX_LENGTH: u8 = 16;
/// The limit of traces that are known to belong to a chain.
const MAX_TRACES: usize = 10_000;
/// The limit of memory for spans that wait.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// The position of a trace in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChainPlace {
    /// The rank of the first trace.
    pub(super) rank: u32,
    /// The number of links from there.
    length: u8,
}

impl ChainPlace {
    /// Returns the position of a trace that links to one with this position; `None` if the chain is
    /// too long.
    pub(super) fn next(self) -> Option<Self> {
        let length = self.length + 1;
        (length <= MAX_LENGTH).then_some(Self { length, ..self })
    }
}

#[derive(Debug, Default)]
pub(super) struct TraceChains {
    places: BTreeMap<TraceId, ChainPlace>,
    oldest_first: VecDeque<TraceId>,
    waiting: WaitingSpans,
}

/// Spans whose traces belong to no chain yet, by their number.
#[derive(Debug, Default)]
struct WaitingSpans {
    spans: BTreeMap<u64, (Arc<StoredSpan>, SampleAdmission)>,
    /// The traces of each span and of its links.
    of_trace: BTreeSet<(TraceId, u64)>,
    next: u64,
    bytes: usize,
}

impl TraceChains {
    /// Returns the position of the span's trace, from its links or from earlier spans.
    pub(super) fn place(
        &self,
        span: &StoredSpan,
        rank_of: impl Fn(TraceId) -> u32,
    ) -> Option<ChainPlace> {
        let linked = linked(span).filter_map(|trace| {
            let first = ChainPlace {
                rank: rank_of(trace),
                length: 0,
            };
            let known = self.places.get(&trace).copied();
            let before = known.filter(|known| known.rank > first.rank);
            before.unwrap_or(first).next()
        });
        let known = self.places.get(&span.id().trace_id).copied();
        linked.chain(known).max_by_key(|place| place.rank)
    }

    /// Records the position of a trace, and returns the spans that waited for it; `None` if it had
    /// an equal or better one.
    pub(super) fn join(
        &mut self,
        trace: TraceId,
        place: ChainPlace,
    ) -> Option<Vec<(Arc<StoredSpan>, SampleAdmission)>> {
        match self.places.get(&trace) {
            Some(known) if known.rank >= place.rank => return None,
            Some(_) => {}
            None => self.oldest_first.push_back(trace),
        }
        self.places.insert(trace, place);
        if self.oldest_first.len() > MAX_TRACES
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.places.remove(&oldest);
        }
        Some(self.waiting.take(trace))
    }

    pub(super) fn wait(&mut self, span: Arc<StoredSpan>, admission: SampleAdmission) {
        self.waiting.add(span, admission);
    }
}

impl WaitingSpans {
    fn add(&mut self, span: Arc<StoredSpan>, admission: SampleAdmission) {
        let number = self.next;
        self.next += 1;
        self.bytes += span.bytes();
        let traces = traces(&span).map(|trace| (trace, number));
        self.of_trace.extend(traces);
        self.spans.insert(number, (span, admission));
        while self.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.spans.keys().next().copied() else {
                break;
            };
            self.remove(oldest);
        }
    }

    fn take(&mut self, trace: TraceId) -> Vec<(Arc<StoredSpan>, SampleAdmission)> {
        let of_trace = self.of_trace.range((trace, 0)..=(trace, u64::MAX));
        let numbers: Vec<u64> = of_trace.map(|(_, number)| *number).collect();
        let spans = numbers.into_iter().filter_map(|number| self.remove(number));
        spans.collect()
    }

    fn remove(&mut self, number: u64) -> Option<(Arc<StoredSpan>, SampleAdmission)> {
        let (span, admission) = self.spans.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(span.bytes());
        for trace in traces(&span) {
            self.of_trace.remove(&(trace, number));
        }
        Some((span, admission))
    }
}

/// Returns the other traces that a span links to.
pub(super) fn linked(span: &StoredSpan) -> impl Iterator<Item = TraceId> {
    let own = span.id().trace_id;
    let links = span.span().links.iter();
    links
        .filter_map(|link| link.trace_id)
        .filter(move |trace| *trace != own)
}

fn traces(span: &StoredSpan) -> impl Iterator<Item = TraceId> {
    linked(span).chain([span.id().trace_id])
}

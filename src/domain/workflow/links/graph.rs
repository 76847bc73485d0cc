//! Follows a span back to the origin of its work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Awaited, Branch, ChainOrigin, Edges, LinkFilter};
use crate::domain::{
    model::{
        ids::{SloId, SpanId, TraceId},
        span::SpanRef,
    },
    slo::LinkBatch,
};

/// The limit of links that are followed one after the other.
pub const MAX_HOPS: usize = 32;

/// The limit of starts in one trace whose origins are compared, if a chain ends in it.
pub const MAX_STARTS: usize = 16;

/// Edges of many spans, and which of the spans start workflows.
///
/// A span that is received more than once with different edges, as from clients and servers that
/// share an id, has all of them; so the order in which edges are added does not matter.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    spans: BTreeMap<(LinkFilter, SpanRef), Steps>,
    starts: BTreeMap<(SloId, TraceId), BTreeSet<SpanId>>,
}

/// The edges of one span.
#[derive(Clone, Debug, Default)]
struct Steps {
    parents: BTreeSet<SpanRef>,
    links: BTreeSet<SpanRef>,
}

/// A span, as one SLO sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedSpan {
    pub slo: SloId,
    pub filter: LinkFilter,
    pub span: SpanRef,
    pub batch: LinkBatch,
}

/// The origins of a span's work, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Empty only if there are branches.
    pub found: BTreeSet<ChainOrigin>,
    /// The points at which the chain divides: spans that received messages of several workflows,
    /// each of which ends separately.
    pub branches: BTreeSet<Branch>,
    /// The spans that other traces link to on the way to a start, other than the start: each sent
    /// a message. Only those in the trace of the start count.
    pub sent_by: BTreeSet<SpanRef>,
    /// The arrivals that may change the origins; no others can.
    pub waits_for: BTreeSet<Awaited>,
    /// True if the chain is longer than [`MAX_HOPS`] links.
    pub is_cut: bool,
}

impl Origins {
    /// Returns whether both began at the same starts.
    fn begin_as(&self, other: &Self) -> bool {
        self.found == other.found && self.branches == other.branches
    }
}

impl Graph {
    pub fn add(&mut self, edges: &Edges) {
        let steps = self.spans.entry((edges.filter, edges.span)).or_default();
        steps.links.extend(&edges.links);
        steps.parents.extend(edges.parent.map(|span_id| SpanRef {
            span_id,
            ..edges.span
        }));
    }

    /// Records that the SLO's `start` selects the span.
    pub fn add_start(&mut self, slo: SloId, span: SpanRef) {
        let of_trace = self.starts.entry((slo, span.trace_id)).or_default();
        of_trace.insert(span.span_id);
    }

    /// Returns whether it is known that the SLO's `start` selects the span.
    pub fn is_start(&self, slo: SloId, span: SpanRef) -> bool {
        let of_trace = self.starts.get(&(slo, span.trace_id));
        of_trace.is_some_and(|starts| starts.contains(&span.span_id))
    }

    /// Follows the work of a span back, along its links or otherwise its parent, until nothing
    /// leads further, at most [`MAX_HOPS`] links.
    ///
    /// Of the spans on the way that start workflows, the one furthest back is the origin: what starts
    /// nearer has only passed the work on. Where several links lead to different starts, each of them
    /// is one. If there is no start on the way, the trace decides in which it ends, by its starts: the
    /// origin that they share is that of the work, several origins are ambiguous, and while there is no
    /// start the trace itself is kept.
    /// A circle leads nowhere new.
    ///
    /// If the chain divides at another span than `of` itself, and each message of a batch ends
    /// separately, it is not followed further: which of the workflows the span belongs to is
    /// unknown.
    pub fn origins(&self, of: LinkedSpan) -> Origins {
        let way = self.way_back(of);
        let mut origins = Origins {
            is_cut: way.is_cut,
            ..Origins::default()
        };
        self.decide(of, &way, &mut origins);
        origins
    }

    fn decide(&self, of: LinkedSpan, way: &WayBack<'_>, origins: &mut Origins) {
        for origin in self.ends(of, way, origins) {
            match origin {
                ChainOrigin::Trace(trace_id) => self.add_trace(of, trace_id, origins),
                ChainOrigin::Start(_) | ChainOrigin::SeveralStarts(_) => {
                    origins.found.insert(origin);
                }
            }
        }
    }

    /// Returns the starts and traces at which the ways from `of` end. Adds to `origins` where they
    /// divide, and which spans are missing.
    fn ends(
        &self,
        of: LinkedSpan,
        way: &WayBack<'_>,
        origins: &mut Origins,
    ) -> BTreeSet<ChainOrigin> {
        let furthest = way.furthest();
        let (mut found, mut dividing) = (BTreeSet::new(), BTreeMap::new());
        let (mut reached, mut next) = (BTreeSet::from([of.span]), vec![of.span]);
        while let Some(at) = next.pop() {
            if furthest.contains(&at) {
                found.insert(ChainOrigin::Start(at));
                let missing = way.missing_from(at).into_iter().map(Awaited::Span);
                origins.waits_for.extend(missing);
                continue;
            }
            if way.missing.contains(&at) {
                origins.waits_for.insert(Awaited::Span(at));
            }
            if way.is_end(at) {
                found.insert(ChainOrigin::Trace(at.trace_id));
            }
            let divides = |target: &SpanRef| {
                let decide = || self.divides(of, way, *target, &mut origins.waits_for);
                *target != of.span && *dividing.entry(*target).or_insert_with(decide)
            };
            let targets = way.next(at).iter().copied();
            let into_other_trace = targets.clone().filter(|to| to.trace_id != at.trace_id);
            origins.sent_by.extend(into_other_trace);
            let (batches, ways): (Vec<_>, Vec<_>) = targets.partition(divides);
            let branch = |batch| Branch { batch, by: at };
            origins.branches.extend(batches.into_iter().map(branch));
            next.extend(ways.into_iter().filter(|target| reached.insert(*target)));
        }
        if found.is_empty() && origins.branches.is_empty() {
            found.insert(ChainOrigin::Trace(of.span.trace_id));
        }
        found
    }

    /// Returns whether a span on the way received messages of several workflows. If so, adds to
    /// `waits_for` the arrivals that may show that they are one.
    fn divides(
        &self,
        of: LinkedSpan,
        way: &WayBack<'_>,
        at: SpanRef,
        waits_for: &mut BTreeSet<Awaited>,
    ) -> bool {
        if of.batch == LinkBatch::Whole || way.next(at).len() < 2 {
            return false;
        }
        let mut origins = Origins::default();
        let whole = LinkedSpan {
            span: at,
            batch: LinkBatch::Whole,
            ..of
        };
        self.decide(whole, way, &mut origins);
        let divides = origins.found.len() > 1;
        if divides {
            waits_for.extend(origins.waits_for);
        }
        divides
    }

    /// Returns the spans whose context a message carries, by its edges: those from which nothing
    /// leads further. They change only when an edge of one of them arrives.
    pub fn contexts(&self, of: LinkedSpan) -> BTreeSet<SpanRef> {
        let way = self.way_back(of);
        let ends = way.targets.keys().filter(|at| way.is_end(**at));
        ends.copied().collect()
    }

    /// Adds the origin of work whose chain ends in this trace and has no start on it.
    fn add_trace(&self, of: LinkedSpan, trace_id: TraceId, origins: &mut Origins) {
        let starts = self.starts_in(of.slo, trace_id).take(MAX_STARTS + 1);
        let starts: Vec<SpanRef> = starts.collect();
        if starts.len() > MAX_STARTS {
            origins.found.insert(ChainOrigin::SeveralStarts(trace_id));
            return;
        }
        origins.waits_for.insert(Awaited::StartIn(trace_id));
        let each: Vec<Origins> = starts
            .into_iter()
            .map(|span| self.origins_of_start(LinkedSpan { span, ..of }))
            .collect();
        let of_trace = match each.as_slice() {
            [] => BTreeSet::from([ChainOrigin::Trace(trace_id)]),
            // Nested spans may be about the same message.
            [first, others @ ..] if others.iter().all(|other| other.begin_as(first)) => {
                origins.branches.extend(&first.branches);
                first.found.clone()
            }
            _ => BTreeSet::from([ChainOrigin::SeveralStarts(trace_id)]),
        };
        origins.found.extend(of_trace);
        origins
            .waits_for
            .extend(each.iter().flat_map(|one| &one.waits_for));
        origins
            .sent_by
            .extend(each.iter().flat_map(|one| &one.sent_by));
    }

    fn origins_of_start(&self, of: LinkedSpan) -> Origins {
        let way = self.way_back(of);
        let mut origins = Origins::default();
        let starts = self.ends(of, &way, &mut origins).into_iter();
        origins.found = starts
            .filter(|origin| matches!(origin, ChainOrigin::Start(_)))
            .collect();
        origins
    }

    /// Returns the known starts in a trace.
    pub fn starts_in(&self, slo: SloId, trace_id: TraceId) -> impl Iterator<Item = SpanRef> + '_ {
        let starts = self.starts.get(&(slo, trace_id)).into_iter().flatten();
        starts.map(move |span_id| SpanRef {
            trace_id,
            span_id: *span_id,
        })
    }

    /// Finds everything that can be reached, in the order of distance, so that every span is
    /// reached by the fewest links.
    fn way_back(&self, of: LinkedSpan) -> WayBack<'_> {
        let mut way = WayBack {
            targets: BTreeMap::new(),
            starts: BTreeSet::new(),
            missing: BTreeSet::new(),
            is_cut: false,
        };
        let mut next = VecDeque::from([(of.span, 0)]);
        while let Some((at, hops)) = next.pop_front() {
            if way.targets.contains_key(&at) {
                continue;
            }
            if self.is_start(of.slo, at) {
                way.starts.insert(at);
            }
            let Some(steps) = self.spans.get(&(of.filter, at)) else {
                way.missing.insert(at);
                way.targets.insert(at, &NOWHERE);
                continue;
            };
            // Links take precedence over the parent.
            if steps.links.is_empty() {
                way.targets.insert(at, &steps.parents);
                let parents = steps.parents.iter();
                parents.for_each(|parent| next.push_front((*parent, hops)));
            } else if hops == MAX_HOPS {
                way.is_cut = true;
                way.targets.insert(at, &NOWHERE);
            } else {
                way.targets.insert(at, &steps.links);
                next.extend(steps.links.iter().map(|target| (*target, hops + 1)));
            }
        }
        way
    }
}

static NOWHERE: BTreeSet<SpanRef> = BTreeSet::new();

/// All spans that the work of one span may have come through.
struct WayBack<'a> {
    /// The targets of each span; empty where the way ends.
    targets: BTreeMap<SpanRef, &'a BTreeSet<SpanRef>>,
    starts: BTreeSet<SpanRef>,
    /// Spans that have not been received.
    missing: BTreeSet<SpanRef>,
    is_cut: bool,
}

impl WayBack<'_> {
    fn furthest(&self) -> BTreeSet<SpanRef> {
        let starts = self.starts.iter().copied();
        starts.filter(|start| self.is_furthest(*start)).collect()
    }

    /// Returns whether no start is further back. Of several in a cycle the smallest counts as
    /// furthest.
    fn is_furthest(&self, start: SpanRef) -> bool {
        let beyond = self.starts_beyond(start);
        beyond
            .iter()
            .all(|other| start < *other && self.starts_beyond(*other).contains(&start))
    }

    fn starts_beyond(&self, start: SpanRef) -> BTreeSet<SpanRef> {
        let mut reached = self.reachable(start);
        reached.remove(&start);
        reached.retain(|span| self.starts.contains(span));
        reached
    }

    fn missing_from(&self, at: SpanRef) -> BTreeSet<SpanRef> {
        let mut reached = self.reachable(at);
        reached.retain(|span| self.missing.contains(span));
        reached
    }

    fn next(&self, at: SpanRef) -> &BTreeSet<SpanRef> {
        self.targets.get(&at).copied().unwrap_or(&NOWHERE)
    }

    fn is_end(&self, at: SpanRef) -> bool {
        self.next(at).is_empty()
    }

    /// Returns the spans that can be reached from a span, itself included.
    fn reachable(&self, from: SpanRef) -> BTreeSet<SpanRef> {
        let mut reached = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            let targets = self.next(at).iter();
            next.extend(targets.filter(|target| reached.insert(**target)));
        }
        reached
    }
}

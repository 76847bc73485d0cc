//! From a span back to where its work began.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Edges, LinkFilter};
use crate::domain::{
    model::{ids::TraceId, span::SpanRef},
    workflow::{EventKey, trace_key},
};

/// Links that are followed one after the other.
pub const MAX_HOPS: usize = 32;

/// Edges of many spans. A span that says more than one thing, as clients and servers that share an id
/// do, says all of it; so the order in which edges are added cannot matter.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    spans: BTreeMap<(LinkFilter, SpanRef), Steps>,
}

/// Where the work of one span came from.
#[derive(Clone, Debug, Default)]
struct Steps {
    parents: BTreeSet<SpanRef>,
    links: BTreeSet<SpanRef>,
}

/// Where the work of a span began, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Never empty.
    pub traces: BTreeSet<TraceId>,
    /// Spans that nothing is known of: what they say, if it comes, may change the origins.
    pub missing: BTreeSet<SpanRef>,
    /// More than [`MAX_HOPS`] links lie between.
    pub is_cut: bool,
}

impl Origins {
    /// The keys of the workflows that began there, each with its trace.
    pub fn keys(&self) -> BTreeMap<EventKey, TraceId> {
        let traces = self.traces.iter();
        traces.map(|trace| (trace_key(*trace), *trace)).collect()
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

    /// The traces of all spans that can be reached and lead nowhere further. A circle leads nowhere
    /// new; where there is nothing else, the span's own trace is where its work began.
    pub fn origins(&self, filter: LinkFilter, span: SpanRef) -> Origins {
        let mut origins = Origins::default();
        let mut walk = Walk::from(span);
        while let Some((at, hops)) = walk.next.pop_front() {
            // It was found again by fewer links.
            if walk
                .fewest_hops
                .get(&at)
                .is_some_and(|fewest| *fewest < hops)
            {
                continue;
            }
            let Some(steps) = self.spans.get(&(filter, at)) else {
                origins.traces.insert(at.trace_id);
                origins.missing.insert(at);
                continue;
            };
            let (targets, hops) = steps.from(hops);
            if targets.is_empty() {
                origins.traces.insert(at.trace_id);
            } else if hops > MAX_HOPS {
                origins.traces.insert(at.trace_id);
                origins.is_cut = true;
                continue;
            }
            for target in targets {
                walk.reach(*target, hops, steps);
            }
        }
        if origins.traces.is_empty() {
            origins.traces.insert(span.trace_id);
        }
        origins
    }
}

impl Steps {
    /// Links outweigh the parent. With the number of links followed once they are taken.
    fn from(&self, hops: usize) -> (&BTreeSet<SpanRef>, usize) {
        if self.links.is_empty() {
            (&self.parents, hops)
        } else {
            (&self.links, hops + 1)
        }
    }
}

/// What has been reached and is yet to be looked at.
struct Walk {
    fewest_hops: BTreeMap<SpanRef, usize>,
    next: VecDeque<(SpanRef, usize)>,
}

impl From<SpanRef> for Walk {
    fn from(span: SpanRef) -> Self {
        Self {
            fewest_hops: BTreeMap::from([(span, 0)]),
            next: VecDeque::from([(span, 0)]),
        }
    }
}

impl Walk {
    /// What is as near as the last one comes next, so that every span is reached by the fewest links.
    fn reach(&mut self, target: SpanRef, hops: usize, by: &Steps) {
        let known = self.fewest_hops.get(&target);
        if known.is_some_and(|known| *known <= hops) {
            return;
        }
        self.fewest_hops.insert(target, hops);
        if by.links.is_empty() {
            self.next.push_front((target, hops));
        } else {
            self.next.push_back((target, hops));
        }
    }
}

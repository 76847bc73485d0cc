//! Tests of origins, by examples and against a slow oracle that examines every chain separately.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    model::{
        ids::{SloId, SpanId, TraceId},
        span::SpanRef,
    },
    slo::LinkBatch,
};

const SLO: SloId = SloId(1);

fn trace(letter: u8) -> TraceId {
    TraceId::from_slice(&[letter; 16]).unwrap()
}

fn span(letter: u8, number: u8) -> SpanRef {
    SpanRef {
        trace_id: trace(letter),
        span_id: SpanId::from_slice(&[number; 8]).unwrap(),
    }
}

fn edges_of(of: SpanRef, parent: Option<SpanRef>, links: &[SpanRef]) -> Edges {
    Edges {
        filter: LinkFilter::ALL,
        span: of,
        parent: parent.map(|parent| parent.span_id),
        links: links.iter().copied().collect(),
        is_cut: false,
    }
}

fn graph(edges: &[Edges]) -> Graph {
    let mut graph = Graph::default();
    for one in edges {
        graph.add(one);
    }
    graph
}

fn as_seen(span: SpanRef) -> LinkedSpan {
    LinkedSpan {
        slo: SLO,
        filter: LinkFilter::ALL,
        span,
        batch: LinkBatch::Whole,
    }
}

/// Returns the origins of chains without a start on them.
fn origins(edges: &[Edges], of: SpanRef) -> Vec<TraceId> {
    let origins = graph(edges).origins(as_seen(of));
    let traces = origins.found.into_iter().map(|origin| match origin {
        ChainOrigin::Trace(trace_id) => trace_id,
        ChainOrigin::Start(_) | ChainOrigin::SeveralStarts(_) => panic!("{origin:?}"),
    });
    traces.collect()
}

fn with_starts(edges: &[Edges], starts: &[SpanRef]) -> Graph {
    let mut graph = graph(edges);
    for start in starts {
        graph.add_start(SLO, *start);
    }
    graph
}

fn found(graph: &Graph, of: SpanRef) -> Vec<ChainOrigin> {
    graph.origins(as_seen(of)).found.into_iter().collect()
}

#[test]
fn a_span_of_which_nothing_is_known_begins_in_its_own_trace_and_is_missing() {
    let found = Graph::default().origins(as_seen(span(b'a', 1)));
    assert_eq!(
        found.found,
        BTreeSet::from([ChainOrigin::Trace(trace(b'a'))])
    );
    let awaited = [Awaited::Span(span(b'a', 1)), Awaited::StartIn(trace(b'a'))];
    assert_eq!(found.waits_for, BTreeSet::from(awaited));
}

/// Makes a request that publishes twice; another publish passes the first message on.
fn relay() -> [Edges; 4] {
    [
        edges_of(span(b'a', 2), Some(span(b'a', 1)), &[]),
        edges_of(span(b'a', 3), Some(span(b'a', 1)), &[]),
        edges_of(span(b'b', 1), None, &[span(b'a', 2)]),
        edges_of(span(b'b', 2), Some(span(b'b', 1)), &[]),
    ]
}

#[test]
fn s34_the_start_that_is_furthest_back_is_the_origin() {
    let [first, other, relay_span] = [span(b'a', 2), span(b'a', 3), span(b'b', 2)];
    let graph = with_starts(&relay(), &[first, other, relay_span]);
    assert_eq!(found(&graph, relay_span), [ChainOrigin::Start(first)]);
    assert_eq!(found(&graph, first), [ChainOrigin::Start(first)]);
    assert_eq!(found(&graph, other), [ChainOrigin::Start(other)]);
}

#[test]
fn s34_while_spans_are_missing_the_furthest_start_that_is_known_is_the_origin() {
    let relay_span = span(b'b', 2);
    let graph = with_starts(&relay()[3..], &[relay_span]);
    let origins = graph.origins(as_seen(relay_span));
    assert_eq!(
        origins.found,
        BTreeSet::from([ChainOrigin::Start(relay_span)])
    );
    let awaited = BTreeSet::from([Awaited::Span(span(b'b', 1))]);
    assert_eq!(origins.waits_for, awaited);
}

#[test]
fn s34_a_chain_without_a_start_is_of_the_one_start_of_the_trace_where_it_ends() {
    let spans = [
        edges_of(span(b'a', 2), Some(span(b'a', 1)), &[]),
        edges_of(span(b'b', 1), None, &[span(b'a', 1)]),
    ];
    let one = with_starts(&spans, &[span(b'a', 2)]);
    assert_eq!(
        found(&one, span(b'b', 1)),
        [ChainOrigin::Start(span(b'a', 2))]
    );
    let two = with_starts(&spans, &[span(b'a', 2), span(b'a', 3)]);
    assert_eq!(
        found(&two, span(b'b', 1)),
        [ChainOrigin::SeveralStarts(trace(b'a'))]
    );
}

/// As pika does it: a span that sends is inside one that publishes, and both are selected. The innermost
/// span, whose context the message carries, is lost.
#[test]
fn s34_starts_of_one_message_inside_each_other_are_one_origin() {
    let [publish, send, lost] = [1, 2, 3].map(|number| span(b'a', number));
    let spans = [
        edges_of(publish, None, &[]),
        edges_of(send, Some(publish), &[]),
        edges_of(span(b'b', 1), None, &[lost]),
    ];
    let one = with_starts(&spans, &[publish, send]);
    assert_eq!(found(&one, span(b'b', 1)), [ChainOrigin::Start(publish)]);
    let two = with_starts(&spans, &[publish, send, span(b'a', 4)]);
    assert_eq!(
        found(&two, span(b'b', 1)),
        [ChainOrigin::SeveralStarts(trace(b'a'))]
    );
    // Until the publish is known, the two cannot be recognised as one.
    let apart = with_starts(&spans[2..], &[publish, send]);
    let origins = apart.origins(as_seen(span(b'b', 1)));
    assert!(origins.waits_for.contains(&Awaited::Span(send)));
    assert_eq!(
        origins.found,
        BTreeSet::from([ChainOrigin::SeveralStarts(trace(b'a'))])
    );
}

#[test]
fn s34_of_more_starts_than_are_compared_the_origin_is_unknown() {
    let sends = (2..).take(MAX_STARTS).map(|number| span(b'a', number));
    let publish = span(b'a', 1);
    let of_sends = sends.clone().map(|send| edges_of(send, Some(publish), &[]));
    let end = edges_of(span(b'b', 1), None, &[span(b'a', 99)]);
    let spans: Vec<Edges> = of_sends
        .chain([edges_of(publish, None, &[]), end])
        .collect();
    let starts: Vec<SpanRef> = sends.chain([publish]).collect();
    let most = with_starts(&spans, &starts[1..]);
    assert_eq!(found(&most, span(b'b', 1)), [ChainOrigin::Start(publish)]);
    let more = with_starts(&spans, &starts);
    assert_eq!(
        found(&more, span(b'b', 1)),
        [ChainOrigin::SeveralStarts(trace(b'a'))]
    );
}

#[test]
fn s34_a_start_of_another_slo_is_none() {
    let mut graph = graph(&relay());
    graph.add_start(SloId(2), span(b'a', 2));
    assert_eq!(
        found(&graph, span(b'b', 2)),
        [ChainOrigin::Trace(trace(b'a'))]
    );
}

#[test]
fn s34_of_starts_in_a_circle_the_smallest_is_the_origin() {
    let circle = [
        edges_of(span(b'a', 1), None, &[span(b'b', 1)]),
        edges_of(span(b'b', 1), None, &[span(b'a', 1)]),
    ];
    let graph = with_starts(&circle, &[span(b'a', 1), span(b'b', 1)]);
    for of in [span(b'a', 1), span(b'b', 1)] {
        assert_eq!(found(&graph, of), [ChainOrigin::Start(span(b'a', 1))]);
    }
}

#[test]
fn a_link_into_the_same_trace_is_walked() {
    let spans = [
        edges_of(span(b'b', 2), None, &[span(b'a', 1)]),
        edges_of(span(b'b', 3), Some(span(b'b', 1)), &[span(b'b', 2)]),
    ];
    assert_eq!(origins(&spans, span(b'b', 3)), [trace(b'a')]);
}

#[test]
fn a_sibling_in_the_same_trace_is_no_evidence_for_what_others_link_to() {
    let poll = span(b'p', 1);
    let spans = [
        edges_of(span(b'p', 2), Some(poll), &[span(b'a', 1)]),
        edges_of(span(b'p', 3), Some(poll), &[span(b'b', 1)]),
    ];
    assert_eq!(origins(&spans, span(b'p', 2)), [trace(b'a')]);
    assert_eq!(origins(&spans, span(b'p', 3)), [trace(b'b')]);
    assert_eq!(origins(&spans, poll), [trace(b'p')]);
}

#[test]
fn two_ways_to_one_origin_are_one_origin() {
    let spans = [
        edges_of(span(b'd', 1), None, &[span(b'b', 1), span(b'c', 1)]),
        edges_of(span(b'b', 1), None, &[span(b'a', 1)]),
        edges_of(span(b'c', 1), None, &[span(b'a', 2)]),
    ];
    assert_eq!(origins(&spans, span(b'd', 1)), [trace(b'a')]);
}

#[test]
fn a_circle_leads_nowhere_and_ends() {
    let circle = [
        edges_of(span(b'a', 1), None, &[span(b'b', 1)]),
        edges_of(span(b'b', 1), None, &[span(b'a', 1)]),
    ];
    assert_eq!(origins(&circle, span(b'a', 1)), [trace(b'a')]);
    assert_eq!(origins(&circle, span(b'b', 1)), [trace(b'b')]);
    let with_a_way_out = [
        circle[0].clone(),
        edges_of(span(b'b', 1), None, &[span(b'a', 1), span(b'c', 1)]),
    ];
    assert_eq!(origins(&with_a_way_out, span(b'a', 1)), [trace(b'c')]);
}

/// Makes a chain in which trace n+1 links to trace n.
fn chain(length: u8) -> Vec<Edges> {
    let link = |n: u8| edges_of(span(n + 1, 1), None, &[span(n, 1)]);
    (1..=length).map(link).collect()
}

#[test]
fn a_chain_is_followed_for_32_links_and_no_further() {
    let graph = graph(&chain(40));
    let near = graph.origins(as_seen(span(33, 1)));
    assert_eq!(near.found, BTreeSet::from([ChainOrigin::Trace(trace(1))]));
    assert!(!near.is_cut);
    let far = graph.origins(as_seen(span(41, 1)));
    assert_eq!(far.found, BTreeSet::from([ChainOrigin::Trace(trace(9))]));
    assert!(far.is_cut);
}

#[test]
fn links_that_another_slo_follows_are_not_followed() {
    let other = Edges {
        filter: LinkFilter(7),
        ..edges_of(span(b'b', 1), None, &[span(b'a', 1)])
    };
    let graph = graph(&[other]);
    let of = |filter| {
        let of = as_seen(span(b'b', 1));
        graph.origins(LinkedSpan { filter, ..of }).found
    };
    assert_eq!(
        of(LinkFilter(7)),
        BTreeSet::from([ChainOrigin::Trace(trace(b'a'))])
    );
    assert_eq!(
        of(LinkFilter::ALL),
        BTreeSet::from([ChainOrigin::Trace(trace(b'b'))])
    );
}

/// Spans, and those of them that start workflows.
#[derive(Clone, Debug)]
struct System {
    spans: Vec<Edges>,
    starts: Vec<SpanRef>,
}

impl System {
    fn graph(&self) -> Graph {
        with_starts(&self.spans, &self.starts)
    }

    fn knows(&self, span: SpanRef) -> bool {
        self.spans.iter().any(|edges| edges.span == span)
    }

    fn next(&self, at: SpanRef) -> Vec<SpanRef> {
        let here = self.spans.iter().filter(|edges| edges.span == at);
        here.flat_map(Edges::targets).collect()
    }

    /// Returns every chain from `of`, span by span; one that would reach a span again ends before
    /// it.
    fn chains(&self, of: SpanRef) -> Vec<Vec<SpanRef>> {
        let (mut whole, mut growing) = (Vec::new(), vec![vec![of]]);
        while let Some(chain) = growing.pop() {
            let next = self.next(*chain.last().unwrap());
            if next.is_empty() {
                whole.push(chain);
                continue;
            }
            let new = next.into_iter().filter(|target| !chain.contains(target));
            growing.extend(new.map(|target| [chain.clone(), vec![target]].concat()));
        }
        whole
    }

    /// Removes cycles: no edge leads to a greater span.
    fn without_circles(mut self) -> Self {
        for edges in &mut self.spans {
            let own = edges.span;
            edges.links.retain(|link| *link < own);
            edges.parent = edges.parent.filter(|parent| *parent < own.span_id);
        }
        self
    }

    fn oracle(&self, of: SpanRef) -> BTreeSet<ChainOrigin> {
        let chains = self.chains(of);
        let starts_on = |chain: &Vec<SpanRef>| -> Vec<SpanRef> {
            let on = chain.iter().filter(|at| self.starts.contains(at));
            on.copied().collect()
        };
        // A start that passes on the work of any other start is not an origin itself.
        let relays: BTreeSet<SpanRef> = chains
            .iter()
            .flat_map(|chain| starts_on(chain).into_iter().rev().skip(1))
            .collect();
        let mut origins = BTreeSet::new();
        for chain in &chains {
            let furthest = starts_on(chain).pop();
            origins.insert(match furthest.filter(|start| !relays.contains(start)) {
                Some(start) => ChainOrigin::Start(start),
                None => ChainOrigin::Trace(chain.last().unwrap().trace_id),
            });
        }
        origins
    }

    fn oracle_with_traces(&self, of: SpanRef) -> BTreeSet<ChainOrigin> {
        let origins = self.oracle(of).into_iter();
        let decided = origins.flat_map(|origin| match origin {
            ChainOrigin::Trace(trace_id) => self.of_trace(trace_id),
            ChainOrigin::Start(_) | ChainOrigin::SeveralStarts(_) => BTreeSet::from([origin]),
        });
        decided.collect()
    }

    fn of_trace(&self, trace_id: TraceId) -> BTreeSet<ChainOrigin> {
        let in_trace = self
            .starts
            .iter()
            .filter(|start| start.trace_id == trace_id);
        let of_starts = in_trace.map(|start| {
            let mut of_one = self.oracle(*start);
            of_one.retain(|origin| matches!(origin, ChainOrigin::Start(_)));
            of_one
        });
        let of_starts: BTreeSet<BTreeSet<ChainOrigin>> = of_starts.collect();
        match of_starts.first() {
            None => BTreeSet::from([ChainOrigin::Trace(trace_id)]),
            Some(shared) if of_starts.len() == 1 => shared.clone(),
            Some(_) => BTreeSet::from([ChainOrigin::SeveralStarts(trace_id)]),
        }
    }
}

fn any_span() -> impl Strategy<Value = SpanRef> {
    (b'a'..b'e', 1_u8..4).prop_map(|(letter, number)| span(letter, number))
}

/// Generates spans, each once, with parents and links that may be missing, or lead in cycles. Of
/// those without edges only starts matter.
fn systems() -> impl Strategy<Value = System> {
    let rest = (
        proptest::option::of(1_u8..4),
        proptest::collection::vec(any_span(), 0..3),
        proptest::bool::weighted(0.3),
    );
    proptest::collection::btree_map(any_span(), rest, 0..12).prop_map(|spans| {
        let is_start = |(of, (_, _, is_start)): (&SpanRef, &(_, _, bool))| is_start.then_some(*of);
        System {
            starts: spans.iter().filter_map(is_start).collect(),
            spans: spans
                .iter()
                .map(|(of, (parent, links, _))| Edges {
                    parent: parent.map(|number| span(b'a', number).span_id),
                    ..edges_of(*of, None, links)
                })
                .collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn origins_are_those_of_every_chain_by_itself(system in systems(), of in any_span()) {
        let system = system.without_circles();
        let found = system.graph().origins(as_seen(of)).found;
        prop_assert_eq!(found, system.oracle_with_traces(of));
    }

    #[test]
    fn any_span_has_an_origin_and_a_start_has_one_that_is_a_start(
        system in systems(), of in any_span(),
    ) {
        let found = system.graph().origins(as_seen(of)).found;
        prop_assert!(!found.is_empty());
        if system.starts.contains(&of) {
            prop_assert!(found.iter().any(|origin| matches!(origin, ChainOrigin::Start(_))));
        }
    }

    /// The awaited spans are the only ones to wait for: any other span changes nothing.
    #[test]
    fn only_awaited_spans_change_origins(
        system in systems(), more in systems(), of in any_span(),
    ) {
        let before = system.graph().origins(as_seen(of));
        let is_awaited = |span: SpanRef| {
            before.waits_for.contains(&Awaited::Span(span))
                || (more.starts.contains(&span)
                    && before.waits_for.contains(&Awaited::StartIn(span.trace_id)))
        };
        let is_nothing = |span: SpanRef| !system.knows(span) && !is_awaited(span);
        let mut all = system.clone();
        all.spans.extend(more.spans.iter().filter(|edges| is_nothing(edges.span)).cloned());
        all.starts.extend(more.starts.iter().filter(|start| is_nothing(**start)));
        prop_assert_eq!(all.graph().origins(as_seen(of)), before);
    }
}

//! Origins, by hand and against a slow oracle that sees all spans at once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::model::{
    ids::{SpanId, TraceId},
    span::SpanRef,
};

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

fn origins(edges: &[Edges], of: SpanRef) -> Vec<TraceId> {
    let origins = graph(edges).origins(LinkFilter::ALL, of);
    origins.traces.into_iter().collect()
}

#[test]
fn a_span_of_which_nothing_is_known_begins_in_its_own_trace_and_is_missing() {
    let found = Graph::default().origins(LinkFilter::ALL, span(b'a', 1));
    assert_eq!(found.traces, BTreeSet::from([trace(b'a')]));
    assert_eq!(found.missing, BTreeSet::from([span(b'a', 1)]));
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

/// Trace n+1 links to trace n.
fn chain(length: u8) -> Vec<Edges> {
    let link = |n: u8| edges_of(span(n + 1, 1), None, &[span(n, 1)]);
    (1..=length).map(link).collect()
}

#[test]
fn a_chain_is_followed_for_32_links_and_no_further() {
    let graph = graph(&chain(40));
    let near = graph.origins(LinkFilter::ALL, span(33, 1));
    assert_eq!(near.traces, BTreeSet::from([trace(1)]));
    assert!(!near.is_cut);
    let far = graph.origins(LinkFilter::ALL, span(41, 1));
    assert_eq!(far.traces, BTreeSet::from([trace(9)]));
    assert!(far.is_cut);
}

#[test]
fn links_that_another_slo_follows_are_not_followed() {
    let other = Edges {
        filter: LinkFilter(7),
        ..edges_of(span(b'b', 1), None, &[span(b'a', 1)])
    };
    let graph = graph(&[other]);
    let of = |filter| graph.origins(filter, span(b'b', 1)).traces;
    assert_eq!(of(LinkFilter(7)), BTreeSet::from([trace(b'a')]));
    assert_eq!(of(LinkFilter::ALL), BTreeSet::from([trace(b'b')]));
}

/// Which spans each leads to: a closure by the words of the contract, over all spans at once.
fn oracle(spans: &[Edges], of: SpanRef) -> BTreeSet<TraceId> {
    let mut steps: BTreeMap<SpanRef, BTreeSet<SpanRef>> = BTreeMap::new();
    for edges in spans {
        let parent = edges.parent.map(|span_id| SpanRef {
            span_id,
            ..edges.span
        });
        let targets = if edges.links.is_empty() {
            parent.into_iter().collect()
        } else {
            edges.links.clone()
        };
        steps.insert(edges.span, targets);
    }
    let mut reached = BTreeSet::from([of]);
    loop {
        let further: BTreeSet<_> = reached
            .iter()
            .filter_map(|at| steps.get(at))
            .flatten()
            .copied()
            .collect();
        let before = reached.len();
        reached.extend(further);
        if reached.len() == before {
            break;
        }
    }
    let leads_nowhere = |at: &&SpanRef| steps.get(at).is_none_or(BTreeSet::is_empty);
    let traces: BTreeSet<_> = reached
        .iter()
        .filter(leads_nowhere)
        .map(|at| at.trace_id)
        .collect();
    if traces.is_empty() {
        BTreeSet::from([of.trace_id])
    } else {
        traces
    }
}

fn any_span() -> impl Strategy<Value = SpanRef> {
    (b'a'..b'e', 1_u8..4).prop_map(|(letter, number)| span(letter, number))
}

/// Spans, each once, with parents and links that may be missing, or lead in circles.
fn spans() -> impl Strategy<Value = Vec<Edges>> {
    let rest = (
        proptest::option::of(1_u8..4),
        proptest::collection::vec(any_span(), 0..3),
    );
    proptest::collection::btree_map(any_span(), rest, 0..12).prop_map(|spans| {
        let edges = spans.into_iter().map(|(of, (parent, links))| Edges {
            parent: parent.map(|number| span(b'a', number).span_id),
            ..edges_of(of, None, &links)
        });
        edges.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn origins_are_those_of_a_closure_over_all_spans(spans in spans(), of in any_span()) {
        let found = graph(&spans).origins(LinkFilter::ALL, of);
        prop_assert_eq!(found.traces, oracle(&spans, of));
    }

    /// What is missing is all that has to be looked out for: any other span changes nothing.
    #[test]
    fn only_missing_spans_change_origins(spans in spans(), more in spans(), of in any_span()) {
        let before = graph(&spans).origins(LinkFilter::ALL, of);
        let known: BTreeSet<_> = spans.iter().map(|edges| edges.span).collect();
        let not_missing = more
            .into_iter()
            .filter(|edges| !known.contains(&edges.span) && !before.missing.contains(&edges.span));
        let all: Vec<_> = spans.into_iter().chain(not_missing).collect();
        prop_assert_eq!(graph(&all).origins(LinkFilter::ALL, of), before);
    }
}

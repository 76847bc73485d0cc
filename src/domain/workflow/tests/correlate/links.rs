//! Workflows that are found only by links, and evidence that moves when a missing span arrives.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::domain::workflow::links::{EvidenceFragment, place};
use crate::domain::workflow::{Corrections, tests::*};

fn start(id: &str, secs: f64) -> Span {
    span(id, "enqueue", [secs, secs + 0.1])
}

fn done(id: &str, secs: f64) -> Span {
    span(id, "finish", [secs - 1.0, secs])
}

fn permutations(spans: &[Span]) -> Vec<Vec<Span>> {
    if spans.is_empty() {
        return vec![Vec::new()];
    }
    let each = (0..spans.len()).flat_map(|first| {
        let mut rest = spans.to_vec();
        let first = rest.remove(first);
        permutations(&rest).into_iter().map(move |mut order| {
            order.push(first.clone());
            order
        })
    });
    each.collect()
}

#[test]
fn s4_an_end_in_another_trace_that_links_to_the_start_ends_its_workflow() {
    SloUnderTest::by_links()
        .receive(&[start("a:1", 0.0), done("b:1", 52.0).linked("a:1")])
        .has(Outcome::Good, 52.0);
}

#[test]
fn s4_a_descendant_of_the_linking_span_ends_it_too() {
    SloUnderTest::by_links()
        .receive(&[
            start("a:1", 0.0),
            span("b:1", "process", [50.0, 53.0]).linked("a:1"),
            span("b:2", "step", [50.0, 53.0]).child_of(1),
            done("b:3", 52.0).child_of(2),
        ])
        .has(Outcome::Good, 52.0);
}

/// Makes the chain of the table: a starts, b works on, c ends after 81 s.
fn s5() -> [Span; 4] {
    [
        start("a:1", 0.0),
        span("b:1", "process", [20.0, 22.0]).linked("a:1"),
        span("b:2", "send", [21.0, 21.1]).child_of(1),
        done("c:1", 81.0).linked("b:2"),
    ]
}

#[test]
fn s5_a_chain_of_links_is_one_workflow_in_whatever_order_it_arrives() {
    for order in permutations(&s5()) {
        let mut world = SloUnderTest::by_links();
        for span in order {
            world = world.receive(&[span]);
        }
        world.has(Outcome::Late, 60.0);
    }
}

#[test]
fn s5_with_its_middle_lost_a_chain_is_an_orphan_and_a_timeout_until_the_middle_comes() {
    let [a, b1, b2, c] = s5();
    let world = SloUnderTest::by_links().receive(&[a, c]).until(1_000.0);
    assert_eq!(
        world.verdicts(),
        [
            (Outcome::Timeout, Some(60.0)),
            (Outcome::Orphan, Some(81.0))
        ]
    );
    let world = world.receive(&[b2]).until(1_001.0);
    assert_eq!(
        world.verdicts().len(),
        2,
        "half of the middle does not help"
    );
    world.receive(&[b1]).has(Outcome::Late, 60.0);
}

#[test]
fn s5_evidence_that_moves_leaves_what_remains_behind() {
    // Two ends wait for b; one of them also belongs to a start of b's own.
    let world = SloUnderTest::by_links()
        .receive(&[done("c:1", 30.0).linked("b:1"), start("b:5", 0.0)])
        .receive(&[start("a:1", 10.0)]);
    assert_eq!(
        world.verdicts(),
        [(Outcome::Open, None), (Outcome::Good, Some(30.0))]
    );
    let world = world
        .receive(&[span("b:1", "process", [11.0, 12.0]).linked("a:1")])
        .until(1_000.0)
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(30.0)), (Outcome::Timeout, Some(60.0))]
    );
}

/// Makes a request in trace a that publishes messages 1 to `messages`, each of which goes through
/// two queues; the second publish of each is selected as well. Each ends at its second.
fn s34_messages(ends: &[f64]) -> Vec<Span> {
    let mut spans = vec![span("a:99", "request", [0.0, 1.0])];
    for (n, end) in (1_u8..).zip(ends) {
        let [publish, b, c] = [
            format!("a:{n}"),
            format!("{}:1", char::from(b'b' + 2 * n)),
            format!("{}:1", char::from(b'c' + 2 * n)),
        ];
        let relay = b.replace(":1", ":2");
        spans.push(start(&publish, 0.0).child_of(99));
        spans.push(span(&b, "process", [1.0, 2.0]).linked(&publish));
        spans.push(start(&relay, 1.5).child_of(1));
        if *end > 0.0 {
            spans.push(done(&c, *end).linked(&relay));
        }
    }
    spans
}

#[test]
fn s34_each_of_several_publishes_in_one_trace_starts_a_workflow() {
    let spans = s34_messages(&[4.0, 0.0, 80.0]);
    let expected = [
        (Outcome::Good, Some(4.0)),
        (Outcome::Late, Some(60.0)),
        (Outcome::Timeout, Some(60.0)),
    ];
    let forwards = SloUnderTest::by_links().receive(&spans);
    let mut backwards = SloUnderTest::by_links();
    for span in spans.iter().rev() {
        backwards = backwards.receive(std::slice::from_ref(span));
    }
    for world in [forwards, backwards] {
        let world = world.until(1_000.0).adds_up();
        let mut verdicts = world.verdicts();
        verdicts.sort_by_key(|(outcome, _)| outcome.as_code());
        assert_eq!(verdicts, expected);
    }
}

#[test]
fn s34_a_request_that_is_selected_itself_is_one_workflow() {
    let mut spans = vec![start("a:1", 0.0)];
    for n in 2..5 {
        spans.push(span(&format!("a:{n}"), "publish", [0.0, 0.1]).child_of(1));
        let end = done(&format!("b:{n}"), f64::from(n)).linked(&format!("a:{n}"));
        spans.push(end);
    }
    SloUnderTest::by_links()
        .receive(&spans)
        .has(Outcome::Good, 2.0);
}

#[test]
fn s34_an_end_whose_chain_has_no_start_is_ambiguous_where_its_trace_has_several() {
    let end = done("b:1", 30.0).linked("a:9");
    let world = SloUnderTest::by_links().receive(&[end, start("a:1", 0.0).child_of(9)]);
    assert_eq!(world.verdicts(), [(Outcome::Good, Some(30.0))]);
    let world = world
        .receive(&[start("a:2", 1.0).child_of(9)])
        .until(1_000.0)
        .adds_up();
    let expected = [
        (Outcome::Ambiguous, Some(30.0)),
        (Outcome::Timeout, Some(60.0)),
        (Outcome::Timeout, Some(61.0)),
    ];
    assert_eq!(world.verdicts(), expected);
}

#[test]
fn s34_with_trace_alone_a_trace_stays_one_workflow() {
    let spans = [start("a:1", 0.0), start("a:2", 1.0), done("a:3", 30.0)];
    SloUnderTest::by(vec![Correlator::Trace])
        .receive(&spans)
        .has(Outcome::Good, 30.0);
}

#[test]
fn s34_several_starts_of_one_trace_are_noted_once_in_any_order() {
    let publish = |id, secs| start(id, secs).of_kind(SpanKind::Producer);
    let spans = [publish("a:1", 0.0), publish("a:2", 1.0), done("a:3", 30.0)];
    for order in permutations(&spans) {
        let mut world = SloUnderTest::by(vec![Correlator::Trace]);
        for span in order.iter().chain(&spans) {
            world = world.receive(std::slice::from_ref(span));
        }
        assert_eq!(world.noted(WorkflowNote::SeveralStarts), 1);
    }
    let by_links = SloUnderTest::by_links().receive(&spans);
    assert_eq!(by_links.noted(WorkflowNote::SeveralStarts), 0);
}

#[test]
fn s34_a_start_that_is_delivered_again_is_not_noted() {
    let spans = [start("a:1", 0.0), start("a:2", 20.0), done("a:3", 30.0)];
    let world = SloUnderTest::by(vec![Correlator::Trace]).receive(&spans);
    assert_eq!(world.noted(WorkflowNote::SeveralStarts), 0);
}

#[test]
fn s35_a_batch_that_is_one_workflow_is_noted_once() {
    let batch = start("a:1", 0.0).with("messaging.batch.message_count", 10);
    let spans = [batch, done("b:1", 2.0).linked("a:1")];
    let noted = |world: SloUnderTest| {
        let world = world.receive(&spans).receive(&spans);
        world.noted(WorkflowNote::ManyMessages)
    };
    assert_eq!(noted(SloUnderTest::by_links()), 1);
    assert_eq!(noted(SloUnderTest::by(vec![Correlator::Trace])), 1);
    let by_message = Correlator::Message {
        id: attribute("messaging.message.id"),
        count: attribute("messaging.batch.message_count"),
    };
    assert_eq!(
        noted(SloUnderTest::by(vec![by_message, Correlator::Trace])),
        0
    );
}

#[test]
fn s6_only_the_link_to_the_origin_of_the_run_is_followed() {
    let only = selector(r#"{ link.kind = "run-origin" }"#);
    let world = SloUnderTest::by(vec![
        Correlator::Trace,
        Correlator::Links {
            only: Some(only),
            batch: LinkBatch::Each,
        },
    ])
    .receive(&[
        start("a:1", 0.0),
        start("d:9", 5.0),
        done("b:1", 30.0)
            .linked_with("a:1", "", &[("kind", "run-origin")])
            .linked_with("d:9", "", &[("kind", "delivery")]),
    ])
    .until(1_000.0)
    .adds_up();
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(30.0)), (Outcome::Timeout, Some(65.0))]
    );
}

#[test]
fn s10_a_batch_consumer_is_evidence_for_each_workflow_and_merges_none() {
    let batch = span("p:1", "finish", [50.0, 52.0])
        .linked("a:1")
        .linked("b:1")
        .linked("c:1");
    let starts = [start("a:1", 0.0), start("b:1", -20.0), start("c:1", 49.0)];
    let world = SloUnderTest::by_links()
        .receive(&[batch])
        .receive(&starts)
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [
            (Outcome::Late, Some(40.0)),
            (Outcome::Good, Some(52.0)),
            (Outcome::Good, Some(52.0)),
        ]
    );
}

#[test]
fn s10_messages_of_one_poll_that_are_processed_apart_are_judged_apart() {
    let poll = span("p:1", "poll", [40.0, 100.0]);
    let world = SloUnderTest::by_links()
        .receive(&[start("a:1", 0.0), start("b:1", 0.0)])
        .receive(&[
            done("p:2", 50.0).child_of(1).linked("a:1"),
            done("p:3", 90.0).child_of(1).linked("b:1"),
            poll,
        ])
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(50.0)), (Outcome::Late, Some(60.0))]
    );
}

#[test]
fn s25_a_trace_that_restarts_without_a_link_leaves_an_orphan_and_a_timeout() {
    let world = SloUnderTest::by_links()
        .receive(&[start("a:1", 0.0), done("b:1", 30.0)])
        .until(1_000.0)
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [
            (Outcome::Orphan, Some(30.0)),
            (Outcome::Timeout, Some(60.0))
        ]
    );
}

#[test]
fn a_link_to_ones_own_parent_is_no_second_edge() {
    SloUnderTest::by_links()
        .receive(&[
            start("a:1", 0.0),
            done("a:2", 30.0).child_of(1).linked("a:1"),
        ])
        .has(Outcome::Good, 30.0);
}

#[test]
fn an_attribute_is_trusted_before_links() {
    let mut correlate = by_attribute("order.id");
    correlate.push(Correlator::Links {
        only: None,
        batch: LinkBatch::Each,
    });
    SloUnderTest::by(correlate)
        .receive(&[
            start("a:1", 0.0).with("order.id", 7),
            done("b:1", 30.0).with("order.id", 7).linked("x:1"),
        ])
        .has(Outcome::Good, 30.0);
}

#[test]
fn a_chain_of_40_links_stops_at_32_and_is_counted_once() {
    let letters: Vec<char> = ('A'..='z').take(41).collect();
    let id = |n: usize| format!("{}:1", letters[n]);
    let chain = (1..40).map(|n| span(&id(n), "process", [0.0, 1.0]).linked(&id(n - 1)));
    let mut spans: Vec<_> = chain.collect();
    spans.push(start(&id(0), 0.0));
    spans.push(done(&id(40), 30.0).linked(&id(39)));
    let world = SloUnderTest::by_links().receive(&spans).receive(&spans);
    assert_eq!(world.links.cut, 1);
    let world = world.until(1_000.0).adds_up();
    let verdicts = [
        (Outcome::Orphan, Some(30.0)),
        (Outcome::Timeout, Some(60.0)),
    ];
    assert_eq!(world.verdicts(), verdicts);
}

#[test]
fn more_links_than_are_looked_at_are_counted() {
    let mut batch = done("p:1", 30.0);
    for n in 0..10_000_u64 {
        batch = batch.linked("a:1");
        let link = batch.links.last_mut().unwrap();
        link.span_id = SpanId::from_slice(&(n + 1).to_be_bytes());
    }
    let world = SloUnderTest::by_links().receive(&[start("a:1", 0.0), batch]);
    let counted = BTreeMap::from([(DiscardReason::TooManyLinks, 1)]);
    assert_eq!(world.unusable, counted);
    world.has(Outcome::Good, 30.0);
}

/// Generates a span of the random systems: its id, its parent, its links and its role.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let id = || (b'a'..b'e', 1_u8..4);
    let rest = (
        proptest::option::of(1_u8..4),
        proptest::collection::vec(id(), 0..3),
        0_usize..3,
        0_u8..200,
    );
    proptest::collection::btree_map(id(), rest, 1..9).prop_map(|spans| {
        let text = |(trace, number): (u8, u8)| format!("{}:{number}", char::from(trace));
        let made = spans.into_iter().map(|(id, (parent, links, name, secs))| {
            let secs = f64::from(secs);
            let name = ["enqueue", "finish", "step"][name];
            let made = span(&text(id), name, [secs, secs]);
            let made = links
                .into_iter()
                .fold(made, |made, to| made.linked(&text(to)));
            parent.map_or(made.clone(), |number| made.child_of(number))
        });
        made.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any order, any duplication and any split into requests gives the same result as all spans at
    /// once, and the differences of the counts add up to it.
    #[test]
    fn evidence_ends_up_where_all_spans_at_once_would_put_it(
        spans in any_spans(),
        schedule in proptest::collection::vec((any::<prop::sample::Index>(), 0_u16..600), 0..14),
    ) {
        let mut world = SloUnderTest::by_links();
        for (index, watermark) in schedule {
            let watermark = f64::from(watermark).max(world.watermark.as_secs_f64() - at(0.0).as_secs_f64());
            world = world.receive(&[index.get(&spans).clone()]).until(watermark);
        }
        let world = world.receive(&spans).until(10_000.0).adds_up();
        let at_once = SloUnderTest::by_links().receive(&spans).until(10_000.0);
        // The time of the first evidence and the corrections depend on the order.
        let known = |world: &SloUnderTest| {
            let mut known = world.known.clone();
            for judged in known.values_mut() {
                judged.workflow.first_evidence_at = None;
                judged.workflow.details.corrections = Corrections::default();
            }
            known
        };
        prop_assert_eq!(known(&world), known(&at_once));
    }

    /// All evidence counts for the workflows of its origins and for no other.
    #[test]
    fn every_workflow_is_the_join_of_the_pieces_that_began_where_it_did(spans in any_spans()) {
        let world = SloUnderTest::by_links().receive(&spans);
        let pieces = world.links.pieces.values().filter(|piece| !piece.divides);
        let pieces: Vec<_> = pieces.cloned().collect();
        let unplaced = pieces.iter().map(|piece| EvidenceFragment {
            workflow_keys: BTreeSet::new(),
            sent_by: BTreeMap::new(),
            ..piece.clone()
        });
        let placed = place(&unplaced.collect::<Vec<_>>(), &world.links.graph).joined();
        let is_alone = |key: &EventKey| {
            let judged = world.known.get(&(SloId(1), *key));
            judged.is_none_or(|judged| judged.workflow.details.shared.is_none())
        };
        let expected: BTreeMap<EventKey, Workflow> = placed
            .into_iter()
            .filter(|((_, key), _)| is_alone(key))
            .map(|((_, key), workflow)| (key, workflow))
            .collect();
        let found: BTreeMap<_, _> = world
            .known
            .iter()
            .filter(|(_, judged)| judged.workflow.details.shared.is_none())
            .map(|((_, key), judged)| (*key, judged.workflow.clone()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

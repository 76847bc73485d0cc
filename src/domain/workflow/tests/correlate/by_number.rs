//! S33: one span receives messages of several workflows, so that each end behind it could end any
//! of them.

use proptest::prelude::*;

use crate::domain::workflow::{Corrections, tests::*};

fn by_links(batch: LinkBatch) -> SloUnderTest {
    let links = Correlator::Links { only: None, batch };
    SloUnderTest::workflow(WorkflowIndicator {
        correlate: vec![links, Correlator::Trace],
        pause: Some(selector(r#"{ name = "approval" }"#)),
        ..workflow_slo()
    })
}

/// Makes the start of workflow `nth`, in a trace of its own.
fn start(nth: u8, secs: f64) -> Span {
    let id = format!("{}:1", char::from(b'A' + nth));
    span(&id, "enqueue", [secs, secs + 0.1])
}

/// Makes the span that receives these messages, starting with the first.
fn take(batch: &str, messages: std::ops::Range<u8>) -> Span {
    let taken = span(batch, "process", [1.0, 2.0]);
    messages.fold(taken, |taken, nth| {
        taken.linked(&format!("{}:1", char::from(b'A' + nth)))
    })
}

/// Makes message `nth`, passed on by the batch in trace z, and its end in a trace of its own.
fn pass_on(nth: u8, name: &str, secs: f64) -> [Span; 2] {
    let sent = format!("z:{}", nth + 10);
    let end = format!("{}:1", char::from(b'a' + nth));
    [
        span(&sent, "send", [1.5, 1.6]).child_of(1),
        span(&end, name, [secs - 1.0, secs]).linked(&sent),
    ]
}

/// Makes five workflows, and the ends behind the batch that receives their messages.
fn batch_of_five(ends: &[(&str, f64)]) -> Vec<Span> {
    let mut spans: Vec<_> = (0..5).map(|nth| start(nth, f64::from(nth))).collect();
    spans.push(take("z:1", 0..5));
    for (nth, (name, secs)) in (0..).zip(ends) {
        spans.extend(pass_on(nth, name, *secs));
    }
    spans
}

fn outcomes(world: &SloUnderTest) -> Vec<(Outcome, Option<f64>)> {
    let mut verdicts = world.verdicts();
    verdicts.sort_by(|a, b| {
        (a.0.as_code(), a.1)
            .partial_cmp(&(b.0.as_code(), b.1))
            .unwrap()
    });
    verdicts
}

#[test]
fn s33_of_five_messages_in_one_batch_those_that_are_lost_time_out_in_any_order() {
    let spans = batch_of_five(&[("finish", 4.0), ("finish", 5.0), ("finish", 6.0)]);
    let expected = [
        (Outcome::Good, Some(4.0)),
        (Outcome::Good, Some(5.0)),
        (Outcome::Good, Some(6.0)),
        (Outcome::Timeout, Some(63.0)),
        (Outcome::Timeout, Some(64.0)),
    ];
    for first in 0..spans.len() {
        let mut world = by_links(LinkBatch::Each);
        for nth in 0..spans.len() {
            let span = &spans[(first + nth) % spans.len()];
            world = world.receive(std::slice::from_ref(span));
        }
        let world = world.receive(&spans).until(1_000.0).adds_up();
        assert_eq!(outcomes(&world), expected, "{first}");
        assert_eq!(world.noted(WorkflowNote::OneOfABatch), 5);
    }
}

#[test]
fn s33_a_failure_is_bad_at_once_and_a_cancellation_no_event() {
    let ends = [("dead letter", 4.0), ("cancel", 5.0), ("finish", 90.0)];
    let world = by_links(LinkBatch::Each).receive(&batch_of_five(&ends));
    assert_eq!(
        outcomes(&world)[..4],
        [
            (Outcome::Open, None),
            (Outcome::Open, None),
            (Outcome::Late, Some(60.0)),
            (Outcome::Failed, Some(4.0)),
        ]
    );
    let world = world.until(1_000.0).adds_up();
    assert_eq!(
        outcomes(&world)[3..],
        [
            (Outcome::Timeout, Some(62.0)),
            (Outcome::Cancelled, Some(5.0))
        ]
    );
}

#[test]
fn s33_one_end_may_have_ended_the_whole_batch_or_does_so_where_the_definition_says() {
    let spans = batch_of_five(&[("finish", 4.0)]);
    let world = by_links(LinkBatch::Each)
        .receive(&spans)
        .until(1_000.0)
        .adds_up();
    let ambiguous = |secs| (Outcome::Ambiguous, Some(secs));
    assert_eq!(
        outcomes(&world),
        [
            (Outcome::Good, Some(4.0)),
            ambiguous(61.0),
            ambiguous(62.0),
            ambiguous(63.0),
            ambiguous(64.0),
        ]
    );
    assert_eq!(world.noted(WorkflowNote::OneEndOfABatch), 4);
    let world = by_links(LinkBatch::Whole).receive(&spans).adds_up();
    assert_eq!(outcomes(&world), [(Outcome::Good, Some(4.0)); 5]);
}

#[test]
fn s33_more_ends_than_workflows_are_noted_and_as_many_workflows_ambiguous() {
    let ends: Vec<_> = (0..6_u8)
        .map(|nth| ("finish", f64::from(nth) + 5.0))
        .collect();
    let world = by_links(LinkBatch::Each)
        .receive(&batch_of_five(&ends))
        .until(1_000.0)
        .adds_up();
    let good = world
        .verdicts()
        .iter()
        .filter(|one| one.0 == Outcome::Good)
        .count();
    assert_eq!(good, 4);
    assert_eq!(world.noted(WorkflowNote::MoreEndsThanWorkflows), 1);
}

#[test]
fn s33_a_total_stall_behind_a_batch_is_all_bad() {
    let world = by_links(LinkBatch::Each)
        .receive(&batch_of_five(&[]))
        .until(1_000.0)
        .adds_up();
    let bad = world
        .verdicts()
        .iter()
        .filter(|one| one.0 == Outcome::Timeout)
        .count();
    assert_eq!(bad, 5);
}

#[test]
fn s33_a_pause_behind_a_batch_is_not_applied_and_noted_once() {
    let mut spans = batch_of_five(&[("finish", 4.0), ("finish", 80.0)]);
    spans.push(span("z:50", "approval", [10.0, 70.0]).child_of(1));
    let world = by_links(LinkBatch::Each)
        .receive(&spans)
        .receive(&spans)
        .until(1_000.0)
        .adds_up();
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::OfUnknownMessage, 1)])
    );
    assert_eq!(outcomes(&world)[0], (Outcome::Good, Some(4.0)));
    assert_eq!(outcomes(&world)[1], (Outcome::Late, Some(61.0)));
}

#[test]
fn s33_an_end_without_any_start_is_an_orphan_until_one_comes() {
    let spans = batch_of_five(&[("finish", 4.0), ("finish", 5.0)]);
    let (starts, others) = spans.split_at(5);
    let world = by_links(LinkBatch::Each)
        .receive(others)
        .until(1_000.0)
        .adds_up();
    let orphans = [(Outcome::Orphan, Some(4.0)), (Outcome::Orphan, Some(5.0))];
    assert_eq!(outcomes(&world), orphans);
    let world = world.receive(starts).until(1_001.0).adds_up();
    let good = outcomes(&world)
        .iter()
        .filter(|one| one.0 == Outcome::Good)
        .count();
    assert_eq!((good, world.verdicts().len()), (2, 5));
}

#[test]
fn s33_two_batches_one_after_the_other_are_one_group() {
    let mut spans = batch_of_five(&[]);
    // A second batch receives what the first one passes on.
    let mut second = span("y:1", "process", [3.0, 4.0]);
    for nth in 0..5_u8 {
        spans.push(pass_on(nth, "", 2.0)[0].clone());
        second = second.linked(&format!("z:{}", nth + 10));
    }
    spans.push(second);
    for nth in 0..4_u8 {
        let sent = format!("y:{}", nth + 10);
        spans.push(span(&sent, "send", [4.0, 4.1]).child_of(1));
        let end = format!("{}:1", char::from(b'a' + nth));
        spans.push(span(&end, "finish", [5.0, 6.0]).linked(&sent));
    }
    let world = by_links(LinkBatch::Each)
        .receive(&spans)
        .until(1_000.0)
        .adds_up();
    assert_eq!(outcomes(&world)[..4], [(Outcome::Good, Some(6.0)); 4]);
    assert_eq!(outcomes(&world)[4], (Outcome::Timeout, Some(64.0)));
}

#[expect(
    clippy::excessive_nesting,
    reason = "ends of batches of a system, one in the other"
)]
/// Generates batches of random traffic: the workflows of each, and how many of its messages end.
fn traffic() -> impl Strategy<Value = Vec<Span>> {
    let end = proptest::option::of((0_usize..4, 2_u8..120));
    let batch = (0_u8..4, 1_u8..4, proptest::collection::vec(end, 0..4));
    proptest::collection::vec(batch, 1..3).prop_map(|batches| {
        let mut spans: Vec<_> = (0..6).map(|nth| start(nth, f64::from(nth) * 5.0)).collect();
        for (trace, (first, count, ends)) in (b'y'..).zip(batches) {
            let id = |number: u8| format!("{}:{number}", char::from(trace));
            spans.push(take(&id(1), first..first + count));
            for (nth, end) in (0_u8..).zip(ends) {
                spans.push(span(&id(nth + 10), "send", [1.5, 1.6]).child_of(1));
                let Some((name, secs)) = end else { continue };
                let name = ["finish", "finish", "dead letter", "cancel"][name];
                let secs = f64::from(secs);
                let end = format!("{}:{}", char::from(b'a' + nth), trace - b'x');
                spans.push(span(&end, name, [secs, secs]).linked(&id(nth + 10)));
            }
        }
        spans
    })
}

/// Generates spans that lead to no end: in new traces, and new ones in known traces.
fn spans_that_end_nothing() -> impl Strategy<Value = Vec<Span>> {
    let one = (0_usize..2, 0_u8..4, 0_u8..6, 0_u8..100);
    proptest::collection::vec(one, 0..6).prop_map(|spans| {
        let mut made = Vec::new();
        for (number, (name, links, to, secs)) in (100_u8..).zip(spans) {
            let trace = ["w", "z"][usize::from(number % 2)];
            // A start in a known trace could be the start of what ends there.
            let name = if trace == "w" {
                ["enqueue", "step"][name]
            } else {
                "step"
            };
            let id = format!("{trace}:{number}");
            let secs = f64::from(secs);
            let mut span = span(&id, name, [secs, secs]);
            for nth in 0..links {
                span = span.linked(&format!("{}:1", char::from(b'A' + (to + nth) % 6)));
            }
            made.push(span);
        }
        made
    })
}

/// Returns the workflows without the time of their first evidence and their corrections, which depend
/// on the order.
fn known(world: &SloUnderTest) -> BTreeMap<(SloId, EventKey), JudgedWorkflow> {
    let mut known = world.known.clone();
    for judged in known.values_mut() {
        judged.workflow.first_evidence_at = None;
        judged.workflow.details.corrections = Corrections::default();
    }
    known
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn s33_any_order_duplication_and_split_gives_the_same(
        spans in traffic(),
        schedule in proptest::collection::vec((any::<prop::sample::Index>(), 0_u16..300), 0..20),
    ) {
        let mut world = by_links(LinkBatch::Each);
        let mut watermark = 0.0_f64;
        for (index, at) in schedule {
            watermark = watermark.max(f64::from(at));
            world = world.receive(&[index.get(&spans).clone()]).until(watermark);
        }
        let world = world.receive(&spans).until(10_000.0).adds_up();
        let at_once = by_links(LinkBatch::Each).receive(&spans).until(10_000.0);
        prop_assert_eq!(known(&world), known(&at_once));
    }

    /// No more events are good than ends arrived in time, and none is lost: every start is counted
    /// once.
    #[test]
    fn s33_every_start_is_one_verdict(spans in traffic()) {
        let world = by_links(LinkBatch::Each).receive(&spans).until(10_000.0);
        let started = world.known.values().filter(|judged| judged.workflow.start.is_some());
        prop_assert_eq!(started.count(), 6);
        let ends = spans.iter().filter(|span| span.name == "finish").count();
        let good = world.verdicts().iter().filter(|one| one.0 == Outcome::Good).count();
        prop_assert!(good <= ends);
    }

    /// Spans that end nothing change no verdict, so a bad event stays bad.
    #[test]
    fn spans_that_end_nothing_never_turn_a_breach_into_anything_else(
        spans in traffic(),
        more in spans_that_end_nothing(),
        more_first in any::<bool>(),
    ) {
        let before = by_links(LinkBatch::Each).receive(&spans).until(10_000.0);
        let world = by_links(LinkBatch::Each);
        let after = if more_first {
            world.receive(&more).until(10_000.0).receive(&spans)
        } else {
            world.receive(&spans).until(10_000.0).receive(&more)
        };
        let after = after.until(20_000.0).adds_up();
        let after = known(&after);
        for (id, judged) in known(&before) {
            prop_assert_eq!(after.get(&id), Some(&judged));
        }
    }
}

//! Messages that were published together and share one context.

use proptest::prelude::*;

use crate::domain::workflow::batch::MAX_MESSAGES;
use crate::domain::workflow::tests::*;

fn by_message() -> SloUnderTest {
    let correlate = vec![Correlator::Message {
        id: attribute("message.id"),
        count: attribute("batch.size"),
    }];
    SloUnderTest::workflow(WorkflowIndicator {
        correlate,
        ..workflow_slo()
    })
}

fn published(messages: i64) -> Span {
    span("a:1", "enqueue", [0.0, 0.1]).with("batch.size", messages)
}

fn received(id: &str, message: &str, secs: f64) -> Span {
    span(id, "finish", [secs - 1.0, secs])
        .linked("a:1")
        .with("message.id", message)
}

#[test]
fn s11_messages_of_one_publication_are_a_workflow_each() {
    let world = by_message()
        .receive(&[
            published(2),
            received("c:1", "m1", 30.0),
            received("d:1", "m2", 80.0),
        ])
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(30.0)), (Outcome::Late, Some(60.0))]
    );
}

/// Makes three messages with ids, received as one batch whose links carry the ids; its children
/// process one message each and carry only the id. The third fails.
fn s36() -> Vec<Span> {
    let publish =
        |trace: &str, message: &str| span(trace, "enqueue", [0.0, 0.1]).with("message.id", message);
    let process = |id: &str, message: &str, name: &str| {
        let span = span(id, name, [1.1, 2.0]).child_of(1);
        span.with("message.id", message)
    };
    let receive = span("p:1", "receive", [1.0, 1.1])
        .linked_with("a:1", "", &[("message.id", "m1")])
        .linked_with("b:1", "", &[("message.id", "m2")])
        .linked_with("c:1", "", &[("message.id", "m3")]);
    vec![
        publish("a:1", "m1"),
        publish("b:1", "m2"),
        publish("c:1", "m3"),
        receive,
        process("p:11", "m1", "finish"),
        process("p:12", "m2", "finish"),
        process("p:13", "m3", "dead letter"),
    ]
}

#[test]
fn s36_children_of_a_receive_span_are_joined_by_the_id_on_its_links() {
    let spans = s36();
    for first in 0..spans.len() {
        let mut world = by_message();
        for nth in 0..spans.len() {
            let span = &spans[(first + nth) % spans.len()];
            world = world.receive(std::slice::from_ref(span));
        }
        let world = world.receive(&spans).until(1_000.0).adds_up();
        let expected = [
            (Outcome::Good, Some(2.0)),
            (Outcome::Good, Some(2.0)),
            (Outcome::Failed, Some(2.0)),
        ];
        let mut verdicts = world.verdicts();
        verdicts.sort_by_key(|(outcome, _)| outcome.as_code());
        assert_eq!(verdicts, expected);
    }
}

#[test]
fn s36_an_end_moves_when_the_receive_span_comes_after_it_was_an_orphan() {
    let mut spans = s36();
    let receive = spans.remove(3);
    let world = by_message().receive(&spans).until(1_000.0);
    let outcomes = |world: &SloUnderTest| -> Vec<Outcome> {
        let verdicts = world.verdicts().into_iter();
        verdicts.map(|(outcome, _)| outcome).collect()
    };
    assert_eq!(
        outcomes(&world),
        [[Outcome::Orphan; 3], [Outcome::Timeout; 3]].concat()
    );
    let world = world.receive(&[receive]).adds_up();
    assert_eq!(world.verdicts().len(), 3);
    assert!(!outcomes(&world).contains(&Outcome::Timeout));
}

#[test]
fn s36_a_child_of_the_publish_itself_needs_no_links() {
    by_message()
        .receive(&[
            published(1),
            span("a:2", "finish", [1.0, 30.0])
                .child_of(1)
                .with("message.id", "m1"),
        ])
        .has(Outcome::Good, 30.0);
}

proptest! {
    #[test]
    fn s36_any_order_gives_the_same(
        spans in Just(s36()).prop_shuffle(),
        watermarks in proptest::collection::vec(0_u16..300, 7),
    ) {
        let mut world = by_message();
        let mut watermark = 0.0_f64;
        for (span, at) in spans.iter().zip(watermarks) {
            watermark = watermark.max(f64::from(at));
            world = world.receive(std::slice::from_ref(span)).until(watermark);
        }
        let world = world.until(1_000.0).adds_up();
        let at_once = by_message().receive(&s36()).until(1_000.0);
        prop_assert_eq!(world.verdicts().len(), 3);
        let sorted = |world: &SloUnderTest| {
            let mut verdicts = world.verdicts();
            verdicts.sort_by_key(|(outcome, _)| outcome.as_code());
            verdicts
        };
        prop_assert_eq!(sorted(&world), sorted(&at_once));
    }
}

#[test]
fn s11_what_nobody_received_times_out_once_for_each_message() {
    let world = by_message()
        .receive(&[received("c:1", "m1", 30.0)])
        .receive(&[published(4)])
        .until(1_000.0)
        .adds_up();
    let timeout = (Outcome::Timeout, Some(60.0));
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(30.0)), timeout, timeout, timeout]
    );
}

#[test]
fn s11_a_message_that_is_delivered_again_is_the_same_workflow() {
    by_message()
        .receive(&[published(1), received("c:1", "m1", 30.0)])
        .receive(&[received("d:1", "m1", 90.0)])
        .has(Outcome::Good, 30.0);
}

#[test]
fn s11_a_batch_consumer_tells_messages_apart_by_the_ids_on_its_links() {
    let consumer = span("c:1", "finish", [29.0, 30.0])
        .linked_with("a:1", "", &[("message.id", "m1")])
        .linked_with("a:1", "", &[("message.id", "m2")])
        .linked_with("b:1", "", &[("message.id", "m3")]);
    let world = by_message()
        .receive(&[
            published(2),
            span("b:1", "enqueue", [-50.0, -49.9]),
            consumer,
        ])
        .adds_up();
    let good = (Outcome::Good, Some(30.0));
    assert_eq!(world.verdicts(), [(Outcome::Late, Some(10.0)), good, good]);
}

#[test]
fn s11_a_consumer_that_is_a_child_of_the_publication_needs_no_link() {
    let child = span("a:2", "finish", [29.0, 30.0])
        .child_of(1)
        .with("message.id", "m1");
    by_message()
        .receive(&[published(1), child])
        .has(Outcome::Good, 30.0);
}

#[test]
fn a_publication_without_a_count_is_one_message() {
    by_message()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]),
            received("c:1", "m1", 30.0),
        ])
        .has(Outcome::Good, 30.0);
}

#[test]
fn a_count_beyond_reason_starts_a_thousand_and_is_counted() {
    let world = by_message().receive(&[published(i64::MAX)]);
    assert_eq!(world.verdicts().len(), MAX_MESSAGES as usize);
    let counted = BTreeMap::from([(DiscardReason::TooManyLinks, 1)]);
    assert_eq!(world.unusable, counted);
}

#[test]
fn without_an_id_or_without_a_context_a_consumer_is_uncorrelated() {
    let nameless = span("c:1", "finish", [1.0, 2.0]).linked("a:1");
    let contextless = span("d:1", "finish", [1.0, 2.0]).with("message.id", "m1");
    let world = by_message().receive(&[nameless, contextless]).has_none();
    let counted = BTreeMap::from([(DiscardReason::Uncorrelated, 2)]);
    assert_eq!(world.unusable, counted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// For any messages in any order and with duplicates, there are as many events as messages
    /// published or received, and each message ends one of them.
    #[test]
    fn every_message_is_one_event_in_any_order(
        messages in 1_u8..8,
        heard_of in proptest::collection::btree_set(0_u8..10, 0..10),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut spans: Vec<_> = heard_of
            .iter()
            .map(|n| received(&format!("{}:1", char::from(b'b' + n)), &format!("m{n}"), 30.0))
            .collect();
        spans.push(published(i64::from(messages)));
        let mut world = by_message();
        for index in order {
            world = world.receive(&[index.get(&spans).clone()]);
        }
        let world = world.receive(&spans).until(1_000.0).adds_up();
        let good = heard_of.len();
        let timeouts = usize::from(messages).saturating_sub(good);
        let count = |outcome| world.verdicts().iter().filter(|one| one.0 == outcome).count();
        prop_assert_eq!((count(Outcome::Good), count(Outcome::Timeout)), (good, timeouts));
        prop_assert_eq!(world.verdicts().len(), good + timeouts);
    }
}

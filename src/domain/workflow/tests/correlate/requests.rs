//! S34: `start` selects a request, which publishes messages.

use proptest::prelude::*;

use crate::domain::workflow::tests::*;

fn done(id: &str, secs: f64) -> Span {
    span(id, "finish", [secs - 1.0, secs])
}

/// Makes a selected request that publishes messages, each by a span of its own.
fn request(messages: &[u8]) -> Vec<Span> {
    let publish = |number: &u8| {
        let id = format!("a:{number}");
        span(&id, "publish", [0.1, 0.2]).child_of(1)
    };
    let publishes = messages.iter().map(publish);
    [span("a:1", "enqueue", [0.0, 0.1])]
        .into_iter()
        .chain(publishes)
        .collect()
}

#[test]
fn s34_a_request_that_publishes_several_messages_is_one_workflow_and_noted_in_any_order() {
    let [first, second, third] = [2, 3, 4];
    let mut spans = request(&[first, second, third]);
    let ends = [
        ("b:1", first, 20.0),
        ("c:1", second, 30.0),
        ("d:1", third, 70.0),
    ];
    spans.extend(ends.map(|(id, by, secs)| done(id, secs).linked(&format!("a:{by}"))));
    for first in 0..spans.len() {
        let mut world = SloUnderTest::by_links();
        for nth in 0..spans.len() {
            world = world.receive(&[spans[(first + nth) % spans.len()].clone()]);
        }
        let world = world.adds_up();
        assert_eq!(world.verdicts(), [(Outcome::Good, Some(20.0))]);
        assert_eq!(world.noted(WorkflowNote::ManyMessages), 1, "{first}");
    }
}

#[test]
fn s34_a_message_that_is_delivered_twice_is_one_message() {
    let mut spans = request(&[2]);
    spans.push(done("b:1", 20.0).linked("a:2"));
    spans.push(done("c:1", 30.0).linked("a:2"));
    let world = SloUnderTest::by_links().receive(&spans).adds_up();
    assert_eq!(world.noted(WorkflowNote::ManyMessages), 0);
    // If publishing spans are starts, they distinguish workflows.
    let world = SloUnderTest::by_links()
        .receive(&[
            span("a:1", "enqueue", [0.0, 0.1]),
            done("b:1", 20.0).linked("a:1"),
            done("c:1", 30.0).linked("a:1"),
        ])
        .adds_up();
    assert_eq!(world.noted(WorkflowNote::ManyMessages), 0);
}

#[test]
fn s34_a_request_with_legs_is_completed_by_its_messages() {
    let legs = WorkflowIndicator {
        legs: Some(FanOut {
            expect: None,
            by: None,
            complete: Completion::AtLeast(2),
        }),
        correlate: vec![
            Correlator::Links {
                only: None,
                batch: LinkBatch::Each,
            },
            Correlator::Trace,
        ],
        ..workflow_slo()
    };
    let mut spans = request(&[2, 3]);
    spans.push(done("b:1", 20.0).linked("a:2"));
    spans.push(done("c:1", 30.0).linked("a:3"));
    let world = SloUnderTest::workflow(legs).receive(&spans).adds_up();
    assert_eq!(world.verdicts(), [(Outcome::Good, Some(30.0))]);
    assert_eq!(world.noted(WorkflowNote::ManyMessages), 0);
}

/// A message of a request: the number of queues that it goes through, and the seconds at which its
/// deliveries end.
type Message = (u8, Vec<u8>);

/// Generates the spans of one request, and by how many of its messages ends arrived.
fn any_request() -> impl Strategy<Value = (Vec<Span>, usize)> {
    let message = (1_u8..3, proptest::collection::vec(10_u8..50, 0..3));
    proptest::collection::vec(message, 0..4).prop_map(|messages: Vec<Message>| {
        let numbers = 2..2 + u8::try_from(messages.len()).unwrap();
        let mut spans = request(&numbers.clone().collect::<Vec<_>>());
        for (number, (queues, ends)) in numbers.zip(&messages) {
            let mut sent_by = format!("a:{number}");
            for queue in 1..*queues {
                let trace = char::from(b'a' + number * 2 + queue);
                spans.push(span(&format!("{trace}:1"), "process", [1.0, 2.0]).linked(&sent_by));
                sent_by = format!("{trace}:2");
                spans.push(span(&sent_by, "publish", [1.5, 1.6]).child_of(1));
            }
            for (delivery, secs) in (0_u8..).zip(ends) {
                let trace = char::from(b'A' + number * 3 + delivery);
                spans.push(done(&format!("{trace}:1"), f64::from(*secs)).linked(&sent_by));
            }
        }
        let ended = messages.iter().filter(|(_, ends)| !ends.is_empty());
        (spans, ended.count())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn s34_a_request_is_noted_once_if_ends_came_by_several_messages_in_any_order(
        (spans, messages) in any_request(),
        schedule in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut world = SloUnderTest::by_links();
        for index in schedule {
            world = world.receive(&[index.get(&spans).clone()]);
        }
        for span in spans.iter().rev() {
            world = world.receive(std::slice::from_ref(span));
        }
        let world = world.adds_up();
        prop_assert_eq!(world.verdicts().len(), 1);
        prop_assert_eq!(world.noted(WorkflowNote::ManyMessages), i64::from(messages > 1));
    }
}

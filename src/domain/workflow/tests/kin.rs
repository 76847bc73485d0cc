//! Inputs similar to the cases S31 to S42, but different from each.

use super::*;

fn start(id: &str, secs: f64) -> Span {
    span(id, "enqueue", [secs, secs + 0.1])
}

fn done(id: &str, secs: f64) -> Span {
    span(id, "finish", [secs - 0.1, secs])
}

fn by_order() -> SloUnderTest {
    SloUnderTest::by(by_attribute("order.id"))
}

#[test]
fn s31_a_failure_slightly_before_its_start_is_a_failure_at_the_start() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[start("a:1", 2.0), span("a:2", "dead letter", [0.0, 0.5])])
        .has(Outcome::Failed, 2.0);
}

#[test]
fn s31_an_early_span_of_the_consumer_whose_clock_is_behind_opens_the_work_first() {
    let opened = WorkflowIndicator {
        opens: Some(selector(r#"{ name = "received" }"#)),
        ..workflow_slo()
    };
    SloUnderTest::workflow(opened)
        .receive(&[
            start("a:1", 2.0),
            span("a:2", "received", [0.5, 0.6]),
            done("a:3", 1.0),
        ])
        .has(Outcome::Good, 1.0);
}

#[test]
fn s33_of_two_deliveries_of_one_batch_the_one_with_more_ends_counts() {
    let letters = ["a", "b", "c"];
    let mut spans: Vec<Span> = letters
        .iter()
        .map(|letter| start(&format!("{letter}:1"), 0.0))
        .collect();
    for (delivery, ends) in [("p", 1_u8), ("q", 3)] {
        let receive = span(&format!("{delivery}:1"), "process", [1.0, 2.0]);
        spans.push(letters.iter().fold(receive, |receive, letter| {
            receive.linked(&format!("{letter}:1"))
        }));
        for nth in 2..2 + ends {
            let publish = span(&format!("{delivery}:{nth}"), "send", [1.5, 1.6]);
            spans.push(publish.child_of(1));
            let trace = char::from(b'A' + nth + 10 * u8::from(delivery == "q"));
            let end = done(&format!("{trace}:1"), 4.0);
            spans.push(end.linked(&format!("{delivery}:{nth}")));
        }
    }
    let world = SloUnderTest::by_links()
        .receive(&spans)
        .until(1_000.0)
        .adds_up();
    assert_eq!(world.verdicts(), [(Outcome::Good, Some(4.0)); 3]);
}

#[test]
fn s34_one_end_of_two_messages_of_one_request_ends_both() {
    let publish = |number: u8| start(&format!("a:{number}"), 0.0).child_of(9);
    let world = SloUnderTest::by_links()
        .receive(&[done("b:1", 4.0).linked("a:1").linked("a:2")])
        .receive(&[publish(1), publish(2)])
        .adds_up();
    assert_eq!(world.verdicts(), [(Outcome::Good, Some(4.0)); 2]);
}

/// The batch `d:3` seems to join two workflows until `b:3` shows that all its messages come from
/// `a:1`, which began behind it.
#[test]
fn s34_a_start_behind_a_batch_is_placed_again_when_the_batch_turns_out_to_be_of_one_workflow() {
    let spans = [
        start("a:1", 0.0).linked("d:3"),
        start("d:3", 0.0).linked("b:1").linked("a:2"),
        start("a:2", 0.0).linked("b:3"),
        start("b:3", 0.0).linked("a:1"),
    ];
    let at_once = SloUnderTest::by_links().receive(&spans);
    let world = spans.iter().fold(SloUnderTest::by_links(), |world, span| {
        world.receive(std::slice::from_ref(span))
    });
    let starts = |world: &SloUnderTest| {
        let known = world.known.iter();
        let starts = known.map(|(id, judged)| (*id, judged.workflow.start));
        starts.collect::<Vec<_>>()
    };
    assert_eq!(starts(&world), starts(&at_once));
}

#[test]
fn s34_a_relay_in_the_trace_of_its_publish_starts_no_second_workflow() {
    SloUnderTest::by_links()
        .receive(&[
            done("b:1", 5.0).linked("a:3"),
            start("a:3", 2.0).child_of(2),
            span("a:2", "process", [1.0, 2.5]).child_of(1),
            start("a:1", 0.0),
        ])
        .has(Outcome::Good, 5.0);
}

#[test]
fn s38_a_start_that_comes_after_a_change_is_judged_by_the_definition_of_its_own_time() {
    let renamed = WorkflowIndicator {
        finish: selector(r#"{ name = "completed" }"#),
        ..workflow_slo()
    };
    let completed = |id: &str, secs: f64| span(id, "completed", [secs - 0.1, secs]);
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[done("a:2", 5.0)])
        .redefined(10.0, renamed)
        .receive(&[
            start("a:1", 0.0),
            start("b:1", 11.0),
            completed("b:2", 12.0),
        ])
        .receive(&[completed("a:3", 2.0), done("b:3", 11.5)])
        .until(1_000.0)
        .adds_up();
    let expected = [(Outcome::Good, Some(5.0)), (Outcome::Good, Some(12.0))];
    assert_eq!(world.verdicts(), expected);
}

#[test]
fn s39_a_start_without_a_time_of_its_own_has_that_of_its_attribute() {
    let created = WorkflowIndicator {
        started_at: Some(StartedAt::Attribute {
            attribute: attribute("created"),
            unit: TimeUnit::Nanoseconds,
        }),
        ..workflow_slo()
    };
    let without_time = Span {
        start_unix_nano: 0,
        ..start("a:1", 0.0)
    };
    let began = i64::try_from(nanos(-50.0)).unwrap();
    SloUnderTest::workflow(created)
        .receive(&[without_time.with("created", began), done("a:2", 20.0)])
        .has(Outcome::Late, 10.0);
}

#[test]
fn s41_an_id_is_the_same_as_a_number_a_text_and_the_only_element_of_an_array() {
    let ids: [crate::domain::model::span::OwnedValue; 3] = [7.into(), "7".into(), vec!["7"].into()];
    for (first, second) in [(0, 1), (1, 2), (2, 0)] {
        by_order()
            .receive(&[
                start("a:1", 0.0).with("order.id", ids[first].clone()),
                done("b:1", 5.0).with("order.id", ids[second].clone()),
            ])
            .has(Outcome::Good, 5.0);
    }
}

#[test]
fn s41_an_end_of_several_orders_ends_those_that_began_and_starts_none() {
    let world = by_order()
        .receive(&[
            start("a:1", 0.0).with("order.id", 1),
            start("a:2", 0.0).with("order.id", 2),
            done("b:1", 5.0).with("order.id", vec![1, 2, 2, 3]),
        ])
        .until(1_000.0)
        .adds_up();
    let expected = [
        (Outcome::Good, Some(5.0)),
        (Outcome::Good, Some(5.0)),
        (Outcome::Orphan, Some(5.0)),
    ];
    let mut verdicts = world.verdicts();
    verdicts.sort_by_key(|(outcome, _)| outcome.as_code());
    assert_eq!(verdicts, expected);
}

/// Two ids that are not UTF-8 may be repaired to the same text.
#[test]
fn s42_an_id_that_had_to_be_repaired_joins_nothing() {
    let world = by_order()
        .receive(&[
            start("a:1", 0.0).with("order.id", "K\u{fffd}ln-1"),
            done("b:1", 5.0).with("order.id", "K\u{fffd}ln-1"),
            start("c:1", 0.0).with("order.id", "2"),
            done("d:1", 6.0).with("order.id", "2"),
        ])
        .adds_up();
    assert_eq!(world.verdicts(), [(Outcome::Good, Some(6.0))]);
    let counted = BTreeMap::from([(DiscardReason::Uncorrelated, 2)]);
    assert_eq!(world.unusable, counted);
}

//! S8 and S9: work in several legs.

use super::{shapes::enqueue, *};
use crate::domain::slo::MAX_LEGS;

/// Returns an SLI with legs identified by `item`, and their number in `wf.expected`.
fn slo(complete: Completion) -> WorkflowIndicator {
    WorkflowIndicator {
        legs: Some(FanOut {
            expect: Some(attribute("wf.expected")),
            by: Some(attribute("item")),
            complete,
        }),
        ..workflow_slo()
    }
}

fn world(complete: Completion) -> SloUnderTest {
    SloUnderTest::workflow(slo(complete))
}

fn start_of(expected: i64) -> Span {
    enqueue(0.0).with("wf.expected", expected)
}

/// Makes the end of the leg with that item.
fn leg(item: &str, end: f64) -> Span {
    let number = item.as_bytes()[0];
    span(&format!("a:{number}"), "finish", [end - 4.0, end]).with("item", item)
}

fn lost(item: &str, end: f64) -> Span {
    let number = item.as_bytes()[0] - 32;
    span(&format!("a:{number}"), "dead letter", [end, end]).with("item", item)
}

#[test]
fn s8_all_legs_must_complete_and_the_last_one_decides() {
    let legs = [leg("b", 20.0), leg("c", 30.0), leg("d", 65.0)];
    world(Completion::All)
        .receive(&[start_of(3)])
        .receive(&legs[..2])
        .stays_open()
        .receive(&legs[2..])
        .has(Outcome::Late, 60.0);
    world(Completion::All)
        .receive(&[start_of(3), leg("b", 20.0), leg("c", 30.0), leg("d", 58.0)])
        .has(Outcome::Good, 58.0);
}

#[test]
fn s8_a_leg_that_never_ends_is_a_timeout() {
    world(Completion::All)
        .receive(&[start_of(3), leg("b", 20.0), leg("c", 30.0)])
        .until(180.0)
        .has(Outcome::Timeout, 60.0)
        .receive(&[leg("d", 50.0)])
        .has(Outcome::Good, 50.0);
}

#[test]
fn s8_the_number_of_legs_may_come_after_them_and_from_any_span() {
    world(Completion::All)
        .receive(&[enqueue(0.0), leg("b", 20.0)])
        .stays_open()
        .receive(&[leg("c", 30.0).with("wf.expected", 2)])
        .has(Outcome::Good, 30.0);
    world(Completion::All)
        .receive(&[leg("b", 20.0), leg("c", 30.0)])
        .receive(&[start_of(2)])
        .has(Outcome::Good, 30.0);
}

#[test]
fn s8_the_number_of_legs_may_grow() {
    world(Completion::All)
        .receive(&[start_of(2), leg("b", 20.0), leg("c", 30.0)])
        .has(Outcome::Good, 30.0)
        .receive(&[leg("b", 20.0).with("wf.expected", 3)])
        .stays_open()
        .receive(&[leg("d", 65.0)])
        .has(Outcome::Late, 60.0);
}

#[test]
fn s8_a_batch_of_nothing_is_complete_when_it_starts() {
    world(Completion::All)
        .receive(&[start_of(0)])
        .has(Outcome::Good, 0.0);
}

#[test]
fn s8_a_leg_that_fails_for_good_fails_the_whole_at_once() {
    world(Completion::All)
        .receive(&[start_of(3), leg("b", 20.0), lost("c", 25.0)])
        .has(Outcome::Failed, 25.0)
        .receive(&[leg("d", 30.0)])
        .has(Outcome::Failed, 25.0);
}

#[test]
fn s8_a_failed_leg_that_is_tried_again_with_success_has_succeeded() {
    world(Completion::All)
        .receive(&[start_of(2), lost("c", 25.0), leg("b", 20.0)])
        .has(Outcome::Failed, 25.0)
        .receive(&[leg("c", 40.0)])
        .has(Outcome::Good, 40.0);
}

#[test]
fn s8_a_leg_that_is_done_twice_is_one_leg_and_its_first_success_counts() {
    world(Completion::All)
        .receive(&[start_of(2), leg("b", 20.0), leg("b", 30.0)])
        .stays_open()
        .receive(&[leg("c", 40.0)])
        .has(Outcome::Good, 40.0)
        .receive(&[leg("b", 90.0), leg("c", 95.0)])
        .has(Outcome::Good, 40.0);
}

#[test]
fn s8_a_quorum_is_complete_with_its_last_member_and_lost_when_too_few_are_left() {
    let quorum = || world(Completion::AtLeast(2)).receive(&[start_of(3)]);
    quorum()
        .receive(&[leg("b", 20.0), lost("c", 25.0)])
        .stays_open()
        .receive(&[leg("d", 30.0)])
        .has(Outcome::Good, 30.0);
    quorum()
        .receive(&[leg("b", 20.0), leg("c", 30.0)])
        .has(Outcome::Good, 30.0)
        .receive(&[leg("d", 65.0)])
        .has(Outcome::Good, 30.0);
    quorum()
        .receive(&[lost("b", 20.0), lost("c", 35.0)])
        .has(Outcome::Failed, 35.0)
        .receive(&[leg("d", 40.0)])
        .has(Outcome::Failed, 35.0);
}

#[test]
fn s8_without_a_number_that_anybody_tells_the_work_is_neither_good_nor_bad() {
    let world = world(Completion::All)
        .receive(&[enqueue(0.0), leg("b", 20.0)])
        .until(180.0)
        .has(Outcome::Invalid, 60.0);
    assert_eq!(world.noted(WorkflowNote::UnknownLegs), 1);
    world.receive(&[start_of(1)]).has(Outcome::Good, 20.0);
}

#[test]
fn s8_a_stall_is_bad_even_if_nobody_tells_the_number_of_legs() {
    world(Completion::All)
        .receive(&[enqueue(0.0)])
        .until(180.0)
        .has(Outcome::Timeout, 60.0);
}

#[test]
fn s8_a_closing_span_is_a_finish_without_legs() {
    let slo = WorkflowIndicator {
        finish: selector(r#"{ name = "join" }"#),
        ..workflow_slo()
    };
    SloUnderTest::workflow(slo)
        .receive(&[enqueue(0.0), leg("b", 20.0), leg("c", 30.0)])
        .stays_open()
        .receive(&[span("a:9", "join", [30.0, 31.0])])
        .has(Outcome::Good, 31.0);
}

#[test]
fn s8_without_an_attribute_that_tells_them_apart_each_span_is_a_leg_and_its_copy_the_same() {
    let mut slo = slo(Completion::All);
    slo.legs.as_mut().unwrap().by = None;
    SloUnderTest::workflow(slo)
        .receive(&[start_of(2), leg("b", 20.0), leg("b", 20.0)])
        .stays_open()
        .receive(&[leg("c", 30.0)])
        .has(Outcome::Good, 30.0);
}

#[test]
fn s8_a_leg_that_cannot_be_told_and_a_number_that_is_none_are_counted() {
    let nameless = span("a:7", "finish", [10.0, 20.0]);
    let world = world(Completion::All).receive(&[
        enqueue(0.0).with("wf.expected", "many"),
        nameless,
        leg("c", 30.0).with("wf.expected", -1),
    ]);
    let unusable = BTreeMap::from([(DiscardReason::NoLeg, 1), (DiscardReason::NoNumber, 2)]);
    assert_eq!(world.unusable, unusable);
}

#[test]
fn s9_any_leg_completes_the_whole_and_later_ones_change_nothing() {
    world(Completion::Any)
        .receive(&[start_of(3), leg("b", 20.0)])
        .has(Outcome::Good, 20.0)
        .receive(&[leg("c", 30.0), lost("d", 40.0), leg("d", 65.0)])
        .has(Outcome::Good, 20.0);
}

#[test]
fn s9_all_legs_failed_is_bad_at_the_last_failure_or_the_deadline() {
    let two_lost =
        || world(Completion::Any).receive(&[start_of(3), lost("b", 10.0), lost("c", 20.0)]);
    two_lost().stays_open();
    two_lost()
        .receive(&[lost("d", 30.0)])
        .has(Outcome::Failed, 30.0);
    two_lost()
        .receive(&[lost("d", 300.0)])
        .has(Outcome::Failed, 60.0);
    two_lost().until(180.0).has(Outcome::Timeout, 60.0);
}

#[test]
fn s9_any_does_without_a_number() {
    let nobody_tells = || world(Completion::Any).receive(&[enqueue(0.0), lost("b", 10.0)]);
    nobody_tells()
        .receive(&[leg("c", 30.0)])
        .has(Outcome::Good, 30.0);
    nobody_tells().until(180.0).has(Outcome::Timeout, 60.0);
}

#[test]
fn legs_without_a_start_are_an_orphan() {
    world(Completion::All)
        .receive(&[leg("b", 20.0), leg("c", 30.0)])
        .until(140.0)
        .has(Outcome::Orphan, 20.0);
}

#[test]
fn more_legs_than_are_kept_leave_a_workflow_unjudged_and_noted() {
    let legs: Vec<_> = (0..=MAX_LEGS)
        .map(|item| leg("x", 20.0).with("item", item.to_string().as_str()))
        .collect();
    let world = world(Completion::All)
        .receive(&[start_of(1_001)])
        .receive(&legs)
        .has(Outcome::Invalid, 60.0)
        .receive(&legs)
        .has(Outcome::Invalid, 60.0);
    assert_eq!(world.noted(WorkflowNote::TooManyLegs), 1);
}

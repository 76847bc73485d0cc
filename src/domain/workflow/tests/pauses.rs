//! S21: time that does not count towards the time limit.

use super::{
    shapes::{enqueue, finish},
    *,
};

fn world() -> SloUnderTest {
    SloUnderTest::workflow(WorkflowIndicator {
        pause: Some(selector(r#"{ name = "approval" }"#)),
        ..workflow_slo()
    })
}

fn pause(number: u8, times: [f64; 2]) -> Span {
    span(&format!("a:{number}"), "approval", times)
}

#[test]
fn s21_an_hour_of_approval_is_not_counted() {
    world()
        .receive(&[enqueue(0.0), pause(6, [10.0, 3_610.0]), finish(3_640.0)])
        .has(Outcome::Good, 3_640.0);
}

#[test]
fn s21_the_time_limit_holds_to_the_microsecond_around_pauses() {
    let judged = |end| {
        world().receive(&[
            enqueue(0.0),
            pause(6, [10.0, 110.0]),
            pause(7, [150.0, 160.0]),
            finish(end),
        ])
    };
    judged(170.0).has(Outcome::Good, 170.0);
    judged(170.000_001).has(Outcome::Late, 170.0);
}

#[test]
fn s21_nested_and_overlapping_pauses_count_once_and_only_between_start_and_end() {
    let pauses = [
        pause(6, [-50.0, 10.0]),
        pause(7, [20.0, 120.0]),
        pause(8, [50.0, 70.0]),
        pause(9, [100.0, 140.0]),
    ];
    // 130 s of the first 190 s were paused.
    world()
        .receive(&[enqueue(0.0), finish(190.0)])
        .receive(&pauses)
        .has(Outcome::Good, 190.0);
    world()
        .receive(&pauses)
        .receive(&[enqueue(0.0), finish(191.0)])
        .has(Outcome::Late, 190.0);
}

#[test]
fn s21_a_workflow_is_open_until_its_deadline_has_moved_past_every_pause() {
    world()
        .receive(&[enqueue(0.0), pause(6, [10.0, 3_610.0])])
        .until(3_660.0 + 119.0)
        .stays_open()
        .until(3_660.0 + 120.0)
        .has(Outcome::Timeout, 3_660.0);
}

#[test]
fn s21_a_pause_is_seen_at_its_end_so_a_long_one_is_a_timeout_first_and_then_corrected() {
    let world = world()
        .receive(&[enqueue(0.0)])
        .until(180.0)
        .has(Outcome::Timeout, 60.0)
        .until(3_610.0)
        .receive(&[pause(6, [10.0, 3_610.0])])
        .stays_open()
        .receive(&[finish(3_640.0)])
        .has(Outcome::Good, 3_640.0);
    assert_eq!(world.noted(WorkflowNote::Corrected), 1);
}

#[test]
fn s21_a_pause_without_a_start_is_an_orphan_like_any_evidence() {
    world()
        .receive(&[pause(6, [10.0, 20.0])])
        .stays_open()
        .until(140.0)
        .has(Outcome::Orphan, 20.0);
}

#[test]
fn s21_a_pause_of_no_length_says_nothing() {
    world().receive(&[pause(6, [10.0, 10.0])]).has_none();
}

#[test]
fn s21_cancelling_during_a_pause_is_in_time() {
    world()
        .receive(&[
            enqueue(0.0),
            pause(6, [10.0, 3_610.0]),
            span("a:4", "cancel", [3_000.0, 3_000.0]),
        ])
        .has(Outcome::Cancelled, 3_000.0);
}

#[test]
fn more_pauses_than_are_kept_leave_a_workflow_unjudged_and_noted() {
    let pauses: Vec<_> = (0..=Pauses::MOST)
        .map(|nth| {
            let from = f64::from(u32::try_from(nth).unwrap()) * 0.1;
            pause(6, [from, from + 0.05])
        })
        .collect();
    let world = world()
        .receive(&[enqueue(0.0)])
        .receive(&pauses)
        .has(Outcome::Invalid, 60.0)
        .receive(&[finish(44.0)])
        .has(Outcome::Invalid, 60.0);
    assert_eq!(world.noted(WorkflowNote::TooManyPauses), 1);
}

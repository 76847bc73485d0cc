//! S10, S15, S18 and reused keys: evidence that is lost, repeated or contradictory, or comes from
//! clocks that disagree.

use super::{
    shapes::{enqueue, finish},
    *,
};

#[test]
fn s15_the_same_span_twice_is_one_event() {
    SloUnderTest::event(span_slo(None))
        .receive(&[finish(44.0), finish(44.0)])
        .receive(&[finish(44.0)])
        .has(Outcome::Good, 44.0);
}

#[test]
fn s15_client_and_server_that_share_a_span_id_are_two_events() {
    let world = SloUnderTest::event(span_slo(None)).receive(&[
        finish(44.0).of_kind(SpanKind::Client),
        finish(45.0).of_kind(SpanKind::Server),
    ]);
    assert_eq!(world.verdicts().len(), 2);
}

#[test]
fn s15_copies_that_contradict_each_other_count_once_and_as_the_worst() {
    for copies in [
        [finish(44.0), finish(44.0).failed()],
        [finish(44.0).failed(), finish(44.0)],
    ] {
        SloUnderTest::event(span_slo(None))
            .receive(&copies)
            .has(Outcome::Failed, 44.0);
        let [first, second] = copies;
        SloUnderTest::event(span_slo(None))
            .receive(&[first])
            .receive(&[second])
            .has(Outcome::Failed, 44.0);
    }
}

#[test]
fn s15_copies_that_contradict_each_other_are_noted_once() {
    let world = SloUnderTest::event(span_slo(None))
        .receive(&[finish(44.0)])
        .receive(&[finish(44.0).failed()])
        .receive(&[finish(44.0), finish(44.0).failed()]);
    assert_eq!(world.noted(WorkflowNote::Contradicted), 1);
}

#[test]
fn s15_a_replayed_completion_under_new_span_ids_is_one_event_by_its_run() {
    let slo = WorkflowIndicator {
        correlate: by_attribute("temporalRunID"),
        ..workflow_slo()
    };
    let of_run = |span: Span| span.with("temporalRunID", "run-1");
    SloUnderTest::workflow(slo)
        .receive(&[of_run(enqueue(0.0)), of_run(finish(44.0))])
        .receive(&[of_run(span("b:7", "finish", [50.0, 51.0]))])
        .has(Outcome::Good, 44.0);
}

#[test]
fn s18_an_end_just_before_its_start_is_skew_and_one_long_before_is_invalid() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(5.0), finish(4.5)])
        .has(Outcome::Good, 5.0);
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(10.0), finish(3.5)])
        .has(Outcome::Invalid, 3.5);
}

#[test]
fn s31_an_end_before_its_start_by_a_tenth_of_the_time_limit_took_no_time() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(6.0), finish(0.0)])
        .has(Outcome::Good, 6.0);
    assert_eq!(world.noted(WorkflowNote::ClockSkew), 1);
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(6.1), finish(0.0)])
        .has(Outcome::Invalid, 0.0);
}

#[test]
fn s31_how_far_clocks_may_differ_is_at_least_a_second_and_at_most_a_minute_unless_declared() {
    let within = |within| WorkflowIndicator {
        within,
        ..workflow_slo()
    };
    SloUnderTest::workflow(within(Duration::from_secs(2)))
        .receive(&[enqueue(5.0), finish(4.0)])
        .has(Outcome::Good, 5.0);
    SloUnderTest::workflow(within(Duration::from_hours(24)))
        .receive(&[enqueue(65.0), finish(4.0)])
        .has(Outcome::Invalid, 4.0);
}

#[test]
fn s18_a_negative_wait_within_the_tolerance_is_counted_as_clamped_and_only_once() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(5.0), finish(4.5)])
        .receive(&[finish(4.5)])
        .receive(&[span("a:6", "finish", [3.0, 4.6])]);
    assert_eq!(world.noted(WorkflowNote::ClockSkew), 1);
    assert_eq!(world.noted(WorkflowNote::EndsBeforeStart), 0);
    let undisturbed = SloUnderTest::workflow(workflow_slo()).receive(&[enqueue(5.0), finish(5.0)]);
    assert_eq!(undisturbed.noted(WorkflowNote::ClockSkew), 0);
}

#[test]
fn s18_below_the_tolerance_it_is_counted_as_ending_before_its_start() {
    let world = SloUnderTest::workflow(workflow_slo()).receive(&[enqueue(10.0), finish(3.5)]);
    assert_eq!(world.noted(WorkflowNote::EndsBeforeStart), 1);
    assert_eq!(world.noted(WorkflowNote::ClockSkew), 0);
}

#[test]
fn s18_a_one_span_event_that_starts_after_it_ends_is_clamped_too() {
    let started_at = StartedAt::Attribute {
        attribute: attribute("wf.start"),
        unit: TimeUnit::Nanoseconds,
    };
    let start = i64::try_from(nanos(58.5)).unwrap();
    let world = SloUnderTest::event(span_slo(Some(started_at)))
        .receive(&[span("a:3", "finish", [55.0, 58.0]).with("wf.start", start)])
        .has(Outcome::Good, 58.0);
    assert_eq!(world.noted(WorkflowNote::ClockSkew), 1);
}

#[test]
fn s7_a_key_that_is_used_again_without_a_run_is_noted_and_counted_once() {
    let slo = WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    };
    let of_order = |span: Span| span.with("order.id", 42);
    let again = [
        of_order(span("x:1", "enqueue", [500.0, 500.1])),
        of_order(span("x:2", "finish", [540.0, 541.0])),
    ];
    let world = SloUnderTest::workflow(slo)
        .receive(&[of_order(enqueue(0.0)), of_order(finish(44.0))])
        .receive(&again)
        .has(Outcome::Good, 44.0);
    assert_eq!(world.noted(WorkflowNote::Reused), 1);
}

#[test]
fn a_start_that_is_tried_again_while_the_workflow_is_open_is_no_use_again() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .receive(&[span("a:2", "enqueue", [5.0, 5.1])])
        .receive(&[finish(44.0), enqueue(0.0)])
        .has(Outcome::Good, 44.0);
    assert_eq!(world.noted(WorkflowNote::Reused), 0);
}

#[test]
fn s10_links_that_an_ending_span_had_no_room_for_are_counted_one_by_one() {
    let mut batch = finish(44.0);
    batch.dropped_links_count = 372;
    let mut start = enqueue(0.0);
    start.dropped_links_count = 5;
    let spans = [start, batch];
    let lost = |correlator| {
        let slo = WorkflowIndicator {
            correlate: vec![correlator],
            ..workflow_slo()
        };
        SloUnderTest::workflow(slo).receive(&spans).unusable
    };
    let by_links = lost(Correlator::Links {
        only: None,
        batch: LinkBatch::Each,
    });
    assert_eq!(by_links, BTreeMap::from([(DiscardReason::LostLinks, 372)]));
    assert_eq!(lost(Correlator::Trace), BTreeMap::new());
}

//! S22, S23, S27 and S28: several SLOs on the same spans, runs, and definitions that change.

use super::{
    shapes::{enqueue, finish},
    *,
};

fn within(secs: u64) -> WorkflowIndicator {
    WorkflowIndicator {
        within: Duration::from_secs(secs),
        ..workflow_slo()
    }
}

fn from_to(start: &str, finish: &str, secs: u64) -> WorkflowIndicator {
    WorkflowIndicator::new(
        selector(start),
        selector(finish),
        Duration::from_secs(secs),
        vec![Correlator::Trace],
    )
}

#[test]
fn s13_a_recoverability_span_that_moves_to_the_error_queue_is_a_terminal_failure() {
    let slo = WorkflowIndicator {
        fail: Some(selector(
            r#"{ span.servicebus.disposition_status = "dead_letter" || span.nservicebus.recoverability_action = "move to error" }"#,
        )),
        ..workflow_slo()
    };
    let settled = |key: &str, value: &str| {
        SloUnderTest::workflow(slo.clone()).receive(&[
            enqueue(0.0),
            span("a:3", "settle", [30.0, 30.0]).with(key, value),
        ])
    };
    settled("servicebus.disposition_status", "dead_letter").has(Outcome::Failed, 30.0);
    settled("servicebus.disposition_status", "abandon").stays_open();
    settled("nservicebus.recoverability_action", "move to error").has(Outcome::Failed, 30.0);
}

#[test]
fn s22_total_waiting_and_processing_are_three_slos_and_three_events() {
    let send = r#"{ name = "send" }"#;
    let process = r#"{ name = "process" }"#;
    let waiting = WorkflowIndicator {
        finish_at: SpanInstant::Start,
        ..from_to(send, process, 10)
    };
    let processing = SpanIndicator::new(selector(process), selector("{ duration <= 45s }"));
    let world = SloUnderTest::several([
        Indicator::Workflow(from_to(send, process, 60)),
        Indicator::Workflow(waiting),
        Indicator::Span(processing),
    ])
    .receive(&[
        span("a:1", "send", [0.0, 0.1]).of_kind(SpanKind::Producer),
        span("a:2", "process", [15.0, 35.0]),
    ])
    .adds_up();
    assert_eq!(world.verdicts_of(1), [(Outcome::Good, Some(35.0))]);
    assert_eq!(world.verdicts_of(2), [(Outcome::Late, Some(10.0))]);
    assert_eq!(world.verdicts_of(3), [(Outcome::Good, Some(35.0))]);
}

#[test]
fn s22_the_wait_is_that_of_the_first_delivery() {
    let waiting = WorkflowIndicator {
        finish_at: SpanInstant::Start,
        ..from_to(r#"{ name = "send" }"#, r#"{ name = "process" }"#, 10)
    };
    SloUnderTest::workflow(waiting)
        .receive(&[
            span("a:1", "send", [0.0, 0.1]),
            span("a:3", "process", [30.0, 31.0]),
            span("a:2", "process", [4.0, 29.0]).failed(),
        ])
        .has(Outcome::Good, 4.0);
}

#[test]
fn s23_a_restart_is_a_new_run_with_a_verdict_of_its_own_and_one_key_is_one_long_workflow() {
    let run = |id: &str, name: &str, secs: f64, run: &str| {
        span(id, name, [secs, secs])
            .with("temporalWorkflowID", "ship-42")
            .with("temporalRunID", run)
    };
    let spans = [
        run("a:1", "enqueue", 0.0, "first"),
        run("b:1", "enqueue", 50.0, "second"),
        run("b:2", "finish", 100.0, "second"),
    ];
    let by = |run: Option<AttributeName>| WorkflowIndicator {
        correlate: vec![Correlator::Attribute {
            attribute: attribute("temporalWorkflowID"),
            run,
        }],
        ..workflow_slo()
    };
    let apart = SloUnderTest::workflow(by(Some(attribute("temporalRunID"))))
        .receive(&spans)
        .until(180.0);
    let verdicts = [(Outcome::Timeout, Some(60.0)), (Outcome::Good, Some(100.0))];
    assert_eq!(apart.verdicts(), verdicts);
    SloUnderTest::workflow(by(None))
        .receive(&spans)
        .has(Outcome::Late, 60.0);
}

#[test]
fn s27_a_child_is_a_leg_of_its_parent_and_a_workflow_of_its_own() {
    let parent = WorkflowIndicator {
        finish: selector(r#"{ name = "child done" }"#),
        legs: Some(FanOut {
            expect: Some(attribute("children")),
            by: Some(attribute("child.id")),
            complete: Completion::All,
        }),
        ..workflow_slo()
    };
    let child = WorkflowIndicator {
        correlate: by_attribute("child.id"),
        ..from_to(r#"{ name = "child" }"#, r#"{ name = "child done" }"#, 10)
    };
    let of = |span: Span, child: &str| span.with("child.id", child);
    let world = SloUnderTest::several([Indicator::Workflow(parent), Indicator::Workflow(child)])
        .receive(&[
            enqueue(0.0).with("children", 2),
            of(span("a:2", "child", [1.0, 1.0]), "one"),
            of(span("a:3", "child", [2.0, 2.0]), "two"),
            of(span("a:4", "child done", [5.0, 5.0]), "one"),
            of(span("a:5", "child done", [40.0, 40.0]), "two"),
        ])
        .adds_up();
    assert_eq!(world.verdicts_of(1), [(Outcome::Good, Some(40.0))]);
    let children = [(Outcome::Good, Some(5.0)), (Outcome::Late, Some(12.0))];
    assert_eq!(world.verdicts_of(2), children);
}

#[test]
fn s27_one_span_may_be_the_end_for_one_slo_and_the_start_for_another() {
    let world = SloUnderTest::several([
        Indicator::Workflow(from_to(
            r#"{ name = "enqueue" }"#,
            r#"{ name = "ship" }"#,
            60,
        )),
        Indicator::Workflow(from_to(
            r#"{ name = "ship" }"#,
            r#"{ name = "finish" }"#,
            20,
        )),
    ])
    .receive(&[
        enqueue(0.0),
        span("a:4", "ship", [30.0, 35.0]),
        finish(51.0),
    ]);
    assert_eq!(world.verdicts_of(1), [(Outcome::Good, Some(35.0))]);
    assert_eq!(world.verdicts_of(2), [(Outcome::Late, Some(50.0))]);
}

#[test]
fn s28_a_workflow_is_judged_by_the_time_limit_in_force_when_it_started() {
    let judged = |before, after| {
        SloUnderTest::workflow(within(before))
            .receive(&[enqueue(0.0)])
            .redefined(20.0, within(after))
            .receive(&[finish(44.0)])
    };
    judged(60, 30).has(Outcome::Good, 44.0);
    judged(30, 60).has(Outcome::Late, 30.0);
}

#[test]
fn s28_a_copy_of_the_start_under_the_new_definition_changes_nothing() {
    let judged = |before, after| {
        SloUnderTest::workflow(within(before))
            .receive(&[enqueue(0.0)])
            .redefined(20.0, within(after))
            .receive(&[enqueue(0.0)])
            .receive(&[finish(44.0), enqueue(0.0)])
    };
    judged(60, 30).has(Outcome::Good, 44.0);
    judged(30, 60).has(Outcome::Late, 30.0);
}

#[test]
fn s28_new_starts_come_under_the_new_definition() {
    SloUnderTest::workflow(within(60))
        .redefined(0.0, within(30))
        .receive(&[enqueue(0.0), finish(44.0)])
        .has(Outcome::Late, 30.0);
}

/// As in S28, in any order of arrival.
#[test]
fn s38_the_definition_in_force_at_the_start_holds_though_the_start_arrives_after_it_changed() {
    let renamed = || WorkflowIndicator {
        finish: selector(r#"{ name = "finished" }"#),
        ..workflow_slo()
    };
    for spans in [[enqueue(0.0), finish(44.0)], [finish(44.0), enqueue(0.0)]] {
        SloUnderTest::workflow(workflow_slo())
            .redefined(20.0, renamed())
            .receive(&spans[..1])
            .receive(&spans[1..])
            .has(Outcome::Good, 44.0);
        SloUnderTest::workflow(renamed())
            .redefined(20.0, workflow_slo())
            .receive(&spans)
            .until(1_000.0)
            .has(Outcome::Timeout, 60.0);
    }
}

#[test]
fn s38_what_ended_under_one_definition_has_not_ended_under_another() {
    let renamed = WorkflowIndicator {
        finish: selector(r#"{ name = "finished" }"#),
        ..workflow_slo()
    };
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0), span("a:7", "finished", [30.0, 31.0])])
        .redefined(20.0, renamed)
        .receive(&[span("a:7", "finished", [30.0, 31.0])])
        .until(1_000.0)
        .has(Outcome::Timeout, 60.0);
}

#[test]
fn s38_an_slo_that_correlates_otherwise_ends_its_old_workflows_by_their_old_keys() {
    let by_order = WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    };
    let end = span("a:7", "finish", [43.0, 44.0]).with("order.id", "o1");
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .redefined(20.0, by_order)
        .receive(&[end])
        .until(1_000.0)
        .adds_up();
    let started = |judged: &&JudgedWorkflow| judged.workflow.start.is_some();
    let verdicts: Vec<_> = world
        .known
        .values()
        .filter(started)
        .map(verdict_of)
        .collect();
    assert_eq!(verdicts, [(Outcome::Good, Some(44.0))]);
}

#[test]
fn s38_a_workflow_of_a_revision_that_is_not_kept_goes_on_under_the_oldest() {
    let named = |n: u32| WorkflowIndicator {
        fail: Some(selector(&format!(r#"{{ name = "fail {n}" }}"#))),
        ..workflow_slo()
    };
    let mut world = SloUnderTest::workflow(workflow_slo()).receive(&[enqueue(0.0)]);
    for n in 1..=10 {
        world = world.redefined(f64::from(n), named(n));
    }
    world.receive(&[finish(44.0)]).has(Outcome::Good, 44.0);
}

#[test]
fn s28_how_many_legs_are_needed_is_settled_at_the_start() {
    let legs = |complete| WorkflowIndicator {
        legs: Some(FanOut {
            expect: Some(attribute("legs")),
            by: None,
            complete,
        }),
        ..workflow_slo()
    };
    let start = || enqueue(0.0).with("legs", 2);
    let ends = [finish(20.0), span("a:6", "finish", [60.0, 65.0])];
    SloUnderTest::workflow(legs(Completion::All))
        .receive(&[start()])
        .redefined(20.0, legs(Completion::Any))
        .receive(&[start()])
        .receive(&ends)
        .has(Outcome::Late, 60.0);
    SloUnderTest::workflow(legs(Completion::Any))
        .receive(&[start()])
        .redefined(20.0, legs(Completion::All))
        .receive(&[start()])
        .receive(&ends)
        .has(Outcome::Good, 20.0);
}

#[test]
fn s38_how_many_legs_a_workflow_has_is_what_the_definition_at_its_start_tells() {
    let legs = WorkflowIndicator {
        legs: Some(FanOut {
            expect: Some(attribute("legs")),
            by: None,
            complete: Completion::All,
        }),
        ..workflow_slo()
    };
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .redefined(20.0, legs.clone())
        .receive(&[finish(44.0)])
        .has(Outcome::Good, 44.0);
    SloUnderTest::workflow(legs)
        .receive(&[enqueue(0.0).with("legs", 2)])
        .redefined(20.0, workflow_slo())
        .receive(&[finish(44.0)])
        .stays_open()
        .receive(&[span("a:6", "finish", [50.0, 55.0])])
        .has(Outcome::Good, 55.0);
}

#[test]
fn s28_what_cancelling_means_is_settled_at_the_start() {
    let policy = |cancelled| WorkflowIndicator {
        cancelled,
        ..workflow_slo()
    };
    let judged = |before, after| {
        SloUnderTest::workflow(policy(before))
            .receive(&[enqueue(0.0)])
            .redefined(20.0, policy(after))
            .receive(&[enqueue(0.0), span("a:4", "cancel", [12.0, 12.0])])
    };
    judged(CancelPolicy::Exclude, CancelPolicy::Bad).has(Outcome::Cancelled, 12.0);
    judged(CancelPolicy::Good, CancelPolicy::Exclude).has(Outcome::Good, 12.0);
}

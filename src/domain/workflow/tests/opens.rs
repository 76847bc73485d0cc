//! Work whose start span arrives only when it ends (S40): earlier spans show that it exists.

use super::*;

/// Makes Temporal's shape: one span of the whole, exported at its end, and one for each step.
fn runs() -> WorkflowIndicator {
    WorkflowIndicator {
        opens: Some(selector(r#"{ name =~ "RunActivity.*" }"#)),
        ..WorkflowIndicator::new(
            selector(r#"{ name = "RunWorkflow" }"#),
            selector(r#"{ name = "RunWorkflow" && status != error }"#),
            Duration::from_mins(1),
            by_attribute("workflow.id"),
        )
    }
}

fn run(times: [f64; 2]) -> Span {
    span("a:1", "RunWorkflow", times)
        .of_kind(SpanKind::Internal)
        .with("workflow.id", "w1")
}

fn activity(times: [f64; 2]) -> Span {
    span("a:2", "RunActivity:Charge", times).with("workflow.id", "w1")
}

#[test]
fn s40_work_that_hangs_times_out_although_its_span_never_comes() {
    SloUnderTest::workflow(runs())
        .receive(&[activity([1.0, 2.0])])
        .stays_open()
        .until(181.0)
        .has(Outcome::Timeout, 61.0);
}

#[test]
fn s40_the_earliest_of_start_and_opening_spans_counts_in_any_order() {
    let spans = [run([0.0, 60.5]), activity([1.0, 2.0]), activity([3.0, 4.0])];
    let mut backwards = spans.clone();
    backwards.reverse();
    for spans in [spans, backwards] {
        let mut world = SloUnderTest::workflow(runs());
        for one in spans {
            world = world.receive(&[one]);
        }
        world.has(Outcome::Late, 60.0);
    }
}

#[test]
fn s40_a_step_behind_the_end_starts_no_other_run() {
    let world = SloUnderTest::workflow(runs())
        .receive(&[activity([1.0, 2.0]), run([0.0, 5.0])])
        .receive(&[activity([6.0, 7.0])])
        .has(Outcome::Good, 5.0);
    assert_eq!(world.noted(WorkflowNote::Reused), 0);
    let world = world.receive(&[run([8.0, 9.0])]);
    assert_eq!(world.noted(WorkflowNote::Reused), 1);
}

#[test]
fn s40_only_start_spans_are_several_starts_in_any_order() {
    let by_trace = WorkflowIndicator {
        correlate: vec![Correlator::Trace],
        ..runs()
    };
    let spans = [
        activity([1.0, 2.0]),
        run([2.0, 5.0]),
        activity([3.0, 4.0]),
        run([4.0, 6.0]),
    ];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    let noted = |order: &[usize]| {
        let mut world = SloUnderTest::workflow(by_trace.clone());
        for number in order {
            world = world.receive(&[spans[*number].clone()]);
        }
        world.noted(WorkflowNote::SeveralStarts)
    };
    for order in orders {
        assert_eq!(noted(&order), 1, "{order:?}");
        let without_second = Vec::from(order.map(|number| number.min(2)));
        assert_eq!(noted(&without_second), 0, "{order:?}");
    }
}

#[test]
fn s40_start_and_opening_spans_tell_since_when_the_work_exists() {
    let told = |source, span: fn() -> Span| {
        let slo = WorkflowIndicator {
            started_at: Some(source),
            ..runs()
        };
        SloUnderTest::workflow(slo).receive(&[span()])
    };
    let by_attribute = || StartedAt::Attribute {
        attribute: attribute("started"),
        unit: TimeUnit::Milliseconds,
    };
    told(by_attribute(), || {
        let millis = at(-30.0).as_micros() / 1_000;
        activity([1.0, 2.0]).with("started", millis)
    })
    .until(500.0)
    .has(Outcome::Timeout, 30.0);
    told(by_attribute(), || {
        run([40.0, 50.0]).with("started", (T0 - 15) * 1_000)
    })
    .has(Outcome::Late, 45.0);
    let in_trace_state = StartedAt::TraceState {
        key: "wf".to_owned(),
        unit: TimeUnit::Seconds,
    };
    told(in_trace_state, || {
        activity([1.0, 2.0]).with_trace_state(&format!("wf={}", T0 - 20))
    })
    .until(500.0)
    .has(Outcome::Timeout, 40.0);
    // If the span lacks the attribute, its own start is the latest possible start.
    told(by_attribute(), || run([0.0, 59.0])).has(Outcome::Good, 59.0);
}

#[test]
fn s40_a_start_in_the_wrong_unit_is_counted_and_no_start() {
    let slo = WorkflowIndicator {
        started_at: Some(StartedAt::Attribute {
            attribute: attribute("started"),
            unit: TimeUnit::Seconds,
        }),
        ..runs()
    };
    for wrong in [T0 * 1_000, 0, T0 + 3_600] {
        let world = SloUnderTest::workflow(slo.clone())
            .receive(&[activity([1.0, 2.0]).with("started", wrong)])
            .has_none();
        let counted = BTreeMap::from([(DiscardReason::NoStartTime, 1)]);
        assert_eq!(world.unusable, counted, "{wrong}");
    }
}

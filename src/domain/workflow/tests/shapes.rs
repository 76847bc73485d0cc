//! One test per shape, named after it.

use super::*;

pub(super) fn enqueue(start: f64) -> Span {
    span("a:1", "enqueue", [start, start + 0.02]).of_kind(SpanKind::Producer)
}

pub(super) fn finish(end: f64) -> Span {
    span("a:5", "finish", [end - 4.0, end])
}

#[test]
fn s1_one_span_that_carries_the_start_of_its_workflow_is_judged_at_once() {
    let start_ns = i64::try_from(nanos(0.0)).unwrap();
    for (value, unit) in [
        (start_ns.into(), TimeUnit::Nanoseconds),
        ((start_ns / 1_000).into(), TimeUnit::Microseconds),
        ((start_ns / 1_000_000).into(), TimeUnit::Milliseconds),
        (T0.into(), TimeUnit::Seconds),
        (
            f64::from(i32::try_from(T0).unwrap()).into(),
            TimeUnit::Seconds,
        ),
        (start_ns.to_string().as_str().into(), TimeUnit::Nanoseconds),
        (at(0.0).to_rfc3339().as_str().into(), TimeUnit::Rfc3339),
    ] {
        let value: crate::domain::model::span::OwnedValue = value;
        let started_at = StartedAt::Attribute {
            attribute: attribute("wf.start"),
            unit,
        };
        SloUnderTest::event(span_slo(Some(started_at)))
            .receive(&[span("a:3", "finish", [55.0, 58.0]).with("wf.start", value)])
            .has(Outcome::Good, 58.0);
    }
}

#[test]
fn s1_a_start_after_the_end_is_invalid_and_a_start_in_the_wrong_unit_is_no_start() {
    let started_at = StartedAt::Attribute {
        attribute: attribute("wf.start"),
        unit: TimeUnit::Nanoseconds,
    };
    let event = |start: i64| span("a:3", "finish", [55.0, 58.0]).with("wf.start", start);
    let slo = || SloUnderTest::event(span_slo(Some(started_at.clone())));
    slo()
        .receive(&[event(i64::try_from(nanos(62.0)).unwrap())])
        .has(Outcome::Invalid, 58.0);
    for unusable in [
        event(T0 * 1_000_000),
        event(0),
        span("a:3", "finish", [55.0, 58.0]),
    ] {
        let world = slo().receive(&[unusable]).has_none();
        assert_eq!(
            world.unusable,
            BTreeMap::from([(DiscardReason::NoStartTime, 1)])
        );
    }
}

/// Makes the start as from clients that omit it, or give it in seconds.
fn without_start(mut span: Span) -> Span {
    span.start_unix_nano = 946_684_800_000_000_000;
    span
}

#[test]
fn s39_a_span_without_a_start_is_no_event_where_the_limit_is_on_its_duration() {
    let quick = |good| SpanIndicator {
        good: selector(good),
        ..span_slo(None)
    };
    for good in ["{ duration <= 2s }", "{ workflow:duration <= 2s }"] {
        for start in [0, 946_684_800_000_000_000] {
            let mut span = span("a:3", "finish", [55.0, 56.0]);
            span.start_unix_nano = start;
            let world = SloUnderTest::event(quick(good)).receive(&[span]).has_none();
            let noted = BTreeMap::from([(DiscardReason::NoStartTime, 1)]);
            assert_eq!(world.unusable, noted, "{good} {start}");
        }
    }
    SloUnderTest::event(quick("{ status != error }"))
        .receive(&[without_start(span("a:3", "finish", [55.0, 56.0]))])
        .has(Outcome::Good, 56.0);
}

#[test]
fn s39_a_start_before_the_horizon_is_late_unless_the_limit_is_longer_than_that() {
    let indicator = |good| SpanIndicator {
        good: selector(good),
        ..span_slo(None)
    };
    let long = || span("a:3", "finish", [-3_000_000.0, 56.0]);
    SloUnderTest::event(indicator("{ duration <= 2s }"))
        .receive(&[long()])
        .has(Outcome::Late, 56.0);
    let world = SloUnderTest::event(indicator("{ duration <= 1000h }"))
        .receive(&[long()])
        .has_none();
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::TooLate, 1)])
    );
}

#[test]
fn s39_a_start_span_or_a_pause_without_a_start_is_counted_and_an_end_is_used() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[without_start(enqueue(0.0)), without_start(finish(44.0))]);
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::NoStartTime, 1)])
    );
    let paused = WorkflowIndicator {
        pause: Some(selector("{ name = \"wait\" }")),
        ..workflow_slo()
    };
    let world = SloUnderTest::workflow(paused)
        .receive(&[enqueue(0.0), without_start(span("a:4", "wait", [1.0, 2.0]))])
        .receive(&[finish(70.0)])
        .has(Outcome::Late, 60.0);
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::NoStartTime, 1)])
    );
}

#[test]
fn s2_the_start_in_the_trace_state_of_the_span_or_of_a_link_is_found_among_others() {
    let done = || span("a:9", "finish", [70.0, 71.0]);
    let start = nanos(0.0);
    let others = "v=x,".repeat(31);
    let world = || {
        SloUnderTest::event(span_slo(Some(StartedAt::TraceState {
            key: "wf".to_owned(),
            unit: TimeUnit::Nanoseconds,
        })))
    };
    for trace_state in [
        format!("wf={start},ot=th:0"),
        format!("ot=th:0 ,\twf={start} "),
        format!("{others}swf=1,wf={start}"),
    ] {
        world()
            .receive(&[done().with_trace_state(&trace_state)])
            .has(Outcome::Late, 71.0);
    }
    let mut linked = done();
    linked.links.push(Link {
        trace_id: None,
        span_id: None,
        trace_state: format!("wf={start}"),
        attributes: Vec::new(),
    });
    world().receive(&[linked]).has(Outcome::Late, 71.0);
    for trace_state in ["", "ot=th:0", "wf=", "wf=soon", "wf", "swf=1"] {
        let world = world()
            .receive(&[done().with_trace_state(trace_state)])
            .has_none();
        assert_eq!(
            world.unusable,
            BTreeMap::from([(DiscardReason::NoStartTime, 1)]),
            "{trace_state}"
        );
    }
}

#[test]
fn a_start_may_stand_in_an_event_of_the_span() {
    let mut done = span("a:9", "finish", [30.0, 61.0]);
    for (name, time) in [("other", -5.0), ("enqueued_at", 0.5), ("enqueued_at", 2.0)] {
        done.events.push(Event {
            name: name.to_owned(),
            time_unix_nano: nanos(time),
            attributes: Vec::new(),
        });
    }
    let started_at = StartedAt::Event {
        name: "enqueued_at".to_owned(),
        unit: TimeUnit::Nanoseconds,
    };
    SloUnderTest::event(span_slo(Some(started_at)))
        .receive(&[done])
        .has(Outcome::Late, 61.0);
}

#[test]
fn s3_start_and_finish_in_one_trace_are_one_workflow() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0), finish(44.0)])
        .has(Outcome::Good, 44.0);
}

#[test]
fn s3_the_time_limit_holds_to_the_microsecond() {
    let judged = |end| SloUnderTest::workflow(workflow_slo()).receive(&[enqueue(0.0), finish(end)]);
    judged(60.0).has(Outcome::Good, 60.0);
    judged(60.000_001).has(Outcome::Late, 60.0);
}

#[test]
fn s7_a_business_attribute_joins_spans_of_different_traces() {
    let slo = WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    };
    SloUnderTest::workflow(slo)
        .receive(&[
            span("a:1", "enqueue", [0.0, 1.0]).with("order.id", 42),
            span("x:7", "finish", [30.0, 31.0]).with("order.id", "42"),
        ])
        .has(Outcome::Good, 31.0);
}

#[test]
fn s7_a_run_attribute_tells_the_runs_of_one_key_apart() {
    let correlate = vec![Correlator::Attribute {
        attribute: attribute("order.id"),
        run: Some(attribute("run.id")),
    }];
    let run = |id: &str, name: &str, times, run: &str| {
        span(id, name, times)
            .with("order.id", 42)
            .with("run.id", run)
    };
    let world = SloUnderTest::workflow(WorkflowIndicator {
        correlate,
        ..workflow_slo()
    })
    .receive(&[
        run("a:1", "enqueue", [0.0, 0.1], "first"),
        run("b:1", "enqueue", [500.0, 500.1], "second"),
        run("a:2", "finish", [30.0, 31.0], "first"),
        run("b:2", "finish", [580.0, 581.0], "second"),
    ]);
    assert_eq!(
        world.verdicts(),
        [(Outcome::Good, Some(31.0)), (Outcome::Late, Some(560.0))]
    );
}

#[test]
fn the_first_correlator_that_is_present_decides_and_a_span_without_any_is_counted() {
    let mut correlate = by_attribute("order.id");
    let by_order = WorkflowIndicator {
        correlate: correlate.clone(),
        ..workflow_slo()
    };
    let world = SloUnderTest::workflow(by_order)
        .receive(&[enqueue(0.0).with("order.id", "")])
        .has_none();
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::Uncorrelated, 1)])
    );
    correlate.push(Correlator::Trace);
    SloUnderTest::workflow(WorkflowIndicator {
        correlate,
        ..workflow_slo()
    })
    .receive(&[enqueue(0.0), finish(10.0)])
    .has(Outcome::Good, 10.0);
}

#[test]
fn s12_retries_of_one_workflow_are_one_event_and_the_first_success_counts() {
    let attempt = |id: &str, times| span(id, "finish", times);
    SloUnderTest::workflow(workflow_slo())
        .receive(&[
            enqueue(0.0),
            attempt("a:2", [10.0, 11.0]).failed(),
            attempt("a:3", [20.0, 21.0]).failed(),
            attempt("a:4", [41.0, 43.0]),
        ])
        .has(Outcome::Good, 43.0)
        .receive(&[attempt("a:5", [90.0, 91.0])])
        .has(Outcome::Good, 43.0);
}

#[test]
fn s12_an_slo_of_attempts_counts_each() {
    let world = SloUnderTest::event(span_slo(None)).receive(&[
        span("a:2", "finish", [10.0, 11.0]).failed(),
        span("a:3", "finish", [20.0, 21.0]).failed(),
        span("a:4", "finish", [41.0, 43.0]),
    ]);
    let outcomes = [
        (Outcome::Failed, 11.0),
        (Outcome::Failed, 21.0),
        (Outcome::Good, 43.0),
    ];
    assert_eq!(
        world.adds_up().verdicts(),
        outcomes.map(|(o, secs)| (o, Some(secs)))
    );
}

#[test]
fn s13_a_dead_letter_is_bad_at_once_and_a_later_redrive_leaves_it_bad() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0), span("a:3", "dead letter", [30.0, 30.0])])
        .has(Outcome::Failed, 30.0)
        .receive(&[finish(4.0 * 3_600.0)])
        .has(Outcome::Late, 60.0);
}

#[test]
fn s13_a_failure_after_the_deadline_counts_at_the_deadline() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0), span("a:3", "dead letter", [300.0, 300.0])])
        .has(Outcome::Failed, 60.0);
}

#[test]
fn s16_an_end_that_arrives_before_its_start_waits_for_it() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[finish(44.0)])
        .stays_open()
        .until(44.0 + 119.0)
        .stays_open()
        .receive(&[enqueue(0.0)])
        .has(Outcome::Good, 44.0);
}

#[test]
fn s16_an_end_whose_start_never_comes_is_an_orphan_and_no_event() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[finish(44.0)])
        .until(44.0 + 120.0)
        .has(Outcome::Orphan, 44.0)
        .receive(&[enqueue(0.0)])
        .has(Outcome::Good, 44.0);
}

#[test]
fn s17_an_end_in_time_that_is_delivered_late_corrects_the_bucket_of_the_deadline() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .until(180.0)
        .has(Outcome::Timeout, 60.0)
        .until(900.0)
        .receive(&[finish(50.0)])
        .has(Outcome::Good, 50.0);
    assert_eq!(world.noted(WorkflowNote::Corrected), 1);
}

#[test]
fn s17_a_late_end_after_a_timeout_moves_no_bucket() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .until(180.0)
        .receive(&[finish(400.0)])
        .has(Outcome::Late, 60.0);
    let last = world.moves.last().unwrap().by_bucket();
    assert!(
        last.values()
            .all(|counts| counts.bad() == 0 && counts.late == 1)
    );
}

#[test]
fn s17_evidence_from_before_the_horizon_is_too_late() {
    let world = SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(-8.0 * 86_400.0), finish(-8.0 * 86_400.0)])
        .has_none();
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::TooLate, 2)])
    );
}

#[test]
fn s19_a_workflow_that_never_finishes_is_bad_at_its_deadline() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[enqueue(0.0)])
        .until(179.999)
        .stays_open()
        .until(180.0)
        .has(Outcome::Timeout, 60.0)
        .receive(&[finish(5.0 * 3_600.0)])
        .has(Outcome::Late, 60.0);
}

#[test]
fn s19_a_total_stall_is_a_thousand_bad_and_not_silence() {
    let slo = WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    };
    let orders: Vec<_> = (0..1_000)
        .map(|order: i64| enqueue(0.0).with("order.id", order))
        .collect();
    let world = SloUnderTest::workflow(slo)
        .receive(&orders)
        .until(180.0)
        .adds_up();
    assert_eq!(
        world.verdicts(),
        vec![(Outcome::Timeout, Some(60.0)); 1_000]
    );
}

#[test]
fn s24_markers_without_duration_measure_from_one_to_the_other() {
    let slo = WorkflowIndicator {
        start: selector(r#"{ name = "RunWorkflow:Ship" }"#),
        finish: selector(r#"{ name = "CompleteWorkflow:Ship" && event:name != "exception" }"#),
        fail: Some(selector(
            r#"{ name = "CompleteWorkflow:Ship" && event:name = "exception" }"#,
        )),
        ..workflow_slo()
    };
    let run = span("a:1", "RunWorkflow:Ship", [0.0, 0.0]);
    let mut complete = span("a:2", "CompleteWorkflow:Ship", [55.0, 55.0]);
    complete.events.push(Event {
        name: "done".to_owned(),
        time_unix_nano: nanos(55.0),
        attributes: Vec::new(),
    });
    SloUnderTest::workflow(slo.clone())
        .receive(&[run.clone(), complete.clone()])
        .has(Outcome::Good, 55.0);
    complete.events[0].name = "exception".to_owned();
    SloUnderTest::workflow(slo)
        .receive(&[run, complete])
        .has(Outcome::Failed, 55.0);
}

#[test]
fn s26_the_root_span_ends_long_before_the_workflow() {
    SloUnderTest::workflow(workflow_slo())
        .receive(&[span("a:9", "POST /orders", [0.0, 0.05]), enqueue(0.0)])
        .stays_open()
        .receive(&[finish(100.0)])
        .has(Outcome::Late, 60.0);
}

#[test]
fn s29_absurd_times_are_refused_span_by_span() {
    let limits = TimeLimits {
        future: Duration::from_mins(5),
        horizon: Duration::from_hours(168),
        skew: Duration::from_secs(1),
    };
    let check = |span: &Span| limits.check(span, at(100.0));
    let mut endless = finish(44.0);
    endless.end_unix_nano = 0;
    assert_eq!(check(&endless), Err(InvalidTimestamp::NoEnd));
    assert_eq!(check(&finish(44.0)), Ok(()));
    assert_eq!(
        check(&span("a:1", "x", [50.0, 44.0])),
        Err(InvalidTimestamp::StartsAfterItEnds)
    );
    assert_eq!(check(&span("a:1", "x", [44.5, 44.0])), Ok(()));
    let year_2106 = span("a:1", "x", [0.0, 2.5e9]);
    assert!(matches!(
        check(&year_2106),
        Err(InvalidTimestamp::InTheFuture(_))
    ));
    let mut year_1970 = finish(44.0);
    (year_1970.start_unix_nano, year_1970.end_unix_nano) = (0, 1);
    assert!(matches!(
        check(&year_1970),
        Err(InvalidTimestamp::BeforeTheHorizon(_))
    ));
}

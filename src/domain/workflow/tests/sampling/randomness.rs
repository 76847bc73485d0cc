//! S20: trace ids as the random numbers of samplers, if spans carry no others.

use crate::domain::model::{
    sampling::{Threshold, TraceIds},
    span::RANDOM_TRACE_ID,
};
use crate::domain::workflow::tests::*;

/// The ninth bit means that the tenth is set if the parent is remote.
const FLAGGED: u32 = 0x0100 | 0x01 | RANDOM_TRACE_ID;
const SAMPLED_ALONE: u32 = 0x0100 | 0x01;

/// Returns an SLO whose ends are kept for a quarter of all traces.
fn world(trace_ids: TraceIds) -> SloUnderTest {
    let weighing = Weighing {
        end_threshold: Threshold::from_hex("c"),
        trace_ids,
        ..Weighing::default()
    };
    SloUnderTest::weighing(&weighing, Indicator::Workflow(workflow_slo()))
}

/// Makes a start in a trace whose number begins with this byte.
fn start(number: u8, trace_state: &str, flags: u32) -> Span {
    let mut id = [7; 16];
    id[9] = number;
    let mut start = span("a:1", "enqueue", [0.0, 0.1]).with_trace_state(trace_state);
    start.trace_id = TraceId::from_slice(&id).unwrap();
    start.flags = flags;
    start
}

fn silent(trace_ids: TraceIds, start: Span) -> Vec<(Outcome, Option<f64>)> {
    let world = world(trace_ids).receive(&[start]).until(600.0).adds_up();
    world.verdicts()
}

#[test]
fn s20_a_trace_id_is_taken_for_random_unless_the_definition_wants_to_be_told() {
    let timeout = [(Outcome::Timeout, Some(60.0))];
    let unobservable = [(Outcome::Unobservable, Some(60.0))];
    for trace_state in ["ot=th:8", ""] {
        for flags in [FLAGGED, SAMPLED_ALONE, 0] {
            let verdict = silent(TraceIds::Presumed, start(0xe0, trace_state, flags));
            assert_eq!(verdict, timeout, "{trace_state} {flags}");
        }
        let told = silent(TraceIds::Flagged, start(0xe0, trace_state, FLAGGED));
        assert_eq!(told, timeout, "{trace_state}");
        for flags in [SAMPLED_ALONE, 0] {
            let untold = silent(TraceIds::Flagged, start(0xe0, trace_state, flags));
            assert_eq!(untold, unobservable, "{trace_state} {flags}");
        }
        // A trace whose end would have been dropped, if its id is random.
        for trace_ids in [TraceIds::Presumed, TraceIds::Flagged] {
            let dropped = silent(trace_ids, start(0x90, trace_state, FLAGGED));
            assert_eq!(dropped, unobservable, "{trace_state}");
        }
    }
}

#[test]
fn s20_an_explicit_randomness_needs_no_flag() {
    let says = start(0x10, "ot=rv:e0000000000000", 0);
    let verdict = silent(TraceIds::Flagged, says);
    assert_eq!(verdict, [(Outcome::Timeout, Some(60.0))]);
}

#[test]
fn s20_a_weight_does_not_need_the_number_that_was_drawn() {
    let finish = |flags| {
        let mut finish = start(0x10, "ot=th:c", flags);
        "finish".clone_into(&mut finish.name);
        finish
    };
    let ends = |flags| {
        let spans = [start(0x10, "", flags), finish(flags)];
        world(TraceIds::Flagged).receive(&spans).adds_up()
    };
    assert_eq!(ends(0).unusable, BTreeMap::new());
    // No sampler that uses this id would have kept it.
    let impossible = BTreeMap::from([(DiscardReason::InvalidSampling, 1)]);
    assert_eq!(ends(FLAGGED).unusable, impossible);
}

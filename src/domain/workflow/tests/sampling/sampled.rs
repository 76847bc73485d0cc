//! S20: spans that a sampler kept represent those that it dropped.

use proptest::prelude::*;

use crate::domain::model::{
    sampling::{Meaning, Randomness, SamplingEncoding, Threshold, UnknownWeight, Weight},
    span::AttributeName as Name,
};
use crate::domain::workflow::tests::*;

/// Makes a span of the trace whose random number is at this share of the range.
fn drawn(share: f64, number: u8, name: &str, times: [f64; 2]) -> Span {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^56"
    )]
    let tail = (share * 72_057_594_037_927_936.0) as u64;
    in_trace(tail, span(&format!("a:{number}"), name, times))
}

fn in_trace(tail: u64, mut span: Span) -> Span {
    let mut id = [7; 16];
    id[9..].copy_from_slice(&tail.to_be_bytes()[1..]);
    span.trace_id = TraceId::from_slice(&id).unwrap();
    span
}

impl Span {
    fn th(self, threshold: &str) -> Self {
        self.with_trace_state(&format!("ot=th:{threshold}"))
    }
}

impl SloUnderTest {
    /// Returns good and bad events, in millionths, observed and unobserved.
    fn stands_for(&self) -> (i64, i64) {
        let counts: EventCounts = self.totals();
        (
            counts.good * 1_000_000 + counts.unseen_good,
            counts.bad() * 1_000_000 + counts.unseen_bad,
        )
    }

    /// Returns the sum of all differences over all buckets.
    fn totals(&self) -> EventCounts {
        let days = self.moves.iter().flat_map(CountDelta::by_bucket);
        days.filter(|((_, resolution, _), _)| {
            *resolution == crate::domain::model::time::Resolution::Day
        })
        .map(|(_, counts)| counts)
        .sum()
    }

    /// Adds the observation of ends with this threshold, from a workflow that ended long ago.
    fn with_ends_at(self, threshold: &str) -> Self {
        self.receive(&[
            drawn(0.999, 1, "enqueue", [-600.0, -600.0]),
            drawn(0.999, 2, "finish", [-599.0, -598.0]).th(threshold),
        ])
    }
}

fn sampled() -> SloUnderTest {
    SloUnderTest::workflow(workflow_slo())
}

fn span_world(weighing: &Weighing) -> SloUnderTest {
    SloUnderTest::weighing(weighing, Indicator::Span(span_slo(None)))
}

#[test]
fn s20_a_span_that_was_kept_by_half_stands_for_two() {
    let world = span_world(&Weighing::default())
        .receive(&[drawn(0.7, 1, "finish", [0.0, 1.0]).th("8")])
        .has(Outcome::Good, 1.0);
    assert_eq!(world.stands_for(), (2_000_000, 0));
    let bad = span_world(&Weighing::default())
        .receive(&[drawn(0.7, 1, "finish", [0.0, 1.0]).th("4").failed()])
        .has(Outcome::Failed, 1.0);
    assert_eq!(bad.stands_for(), (0, 1_333_333));
    assert_eq!((bad.totals().failed, bad.totals().sampled), (1, 1));
}

#[test]
fn s20_a_workflow_is_as_likely_to_be_seen_as_its_strictest_span() {
    let world = sampled()
        .receive(&[
            drawn(0.8, 1, "enqueue", [0.0, 0.1]).th("8"),
            drawn(0.8, 2, "finish", [40.0, 44.0]).th("c"),
        ])
        .has(Outcome::Good, 44.0);
    assert_eq!(world.stands_for(), (4_000_000, 0), "and not two times four");
}

#[test]
fn s20_spans_of_traces_with_numbers_of_their_own_are_independent() {
    let world = SloUnderTest::workflow(WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    })
    .receive(&[
        drawn(0.8, 1, "enqueue", [0.0, 0.1])
            .th("8")
            .with("order.id", 1),
        drawn(0.9, 2, "finish", [40.0, 44.0])
            .th("c")
            .with("order.id", 1),
    ])
    .has(Outcome::Good, 44.0);
    assert_eq!(world.stands_for(), (8_000_000, 0));
    let shared = SloUnderTest::workflow(WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    })
    .receive(&[
        drawn(0.1, 1, "enqueue", [0.0, 0.1])
            .with_trace_state("ot=th:8;rv:e0000000000000")
            .with("order.id", 1),
        drawn(0.2, 2, "finish", [40.0, 44.0])
            .with_trace_state("ot=th:c;rv:e0000000000000")
            .with("order.id", 1),
    ]);
    assert_eq!(shared.stands_for(), (4_000_000, 0), "an `rv` joins traces");
}

#[test]
fn s20_a_start_whose_end_is_sure_to_be_dropped_is_unobservable_and_no_false_timeout() {
    let seen = sampled().with_ends_at("c");
    let before = seen.stands_for();
    let world = seen
        .receive(&[drawn(0.6, 3, "enqueue", [0.0, 0.1]).th("8")])
        .until(10_000.0)
        .adds_up();
    assert_eq!(world.totals().unobservable, 1);
    assert_eq!(world.stands_for(), before);
}

#[test]
fn s20_a_start_whose_end_would_have_been_kept_times_out_with_the_weight_of_the_end() {
    let world = sampled()
        .with_ends_at("c")
        .receive(&[drawn(0.76, 3, "enqueue", [0.0, 0.1]).th("8")])
        .until(10_000.0)
        .adds_up();
    assert_eq!(world.totals().timeout, 1);
    assert_eq!(world.stands_for().1, 4_000_000);
    let unsampled = sampled()
        .with_ends_at("c")
        .receive(&[
            drawn(0.74, 3, "enqueue", [0.0, 0.1]),
            drawn(0.75, 4, "enqueue", [0.0, 0.1]),
        ])
        .until(10_000.0)
        .adds_up();
    assert_eq!(unsampled.stands_for().1, 4_000_000, "the trace id decides");
    assert_eq!(unsampled.totals().unobservable, 1);
}

#[test]
fn s20_an_end_that_comes_at_last_takes_an_unobservable_workflow_into_the_count() {
    let start = drawn(0.6, 3, "enqueue", [0.0, 0.1]).th("8");
    let finish = drawn(0.6, 4, "finish", [50.0, 51.0]).th("8");
    let world = sampled().with_ends_at("c").receive(&[start]).until(500.0);
    let before = world.stands_for();
    let world = world.receive(&[finish]).adds_up();
    assert_eq!(world.totals().unobservable, 0);
    assert_eq!(world.stands_for().0 - before.0, 2_000_000);
}

#[test]
fn s20_a_correction_takes_out_the_weight_that_was_counted() {
    let world = sampled()
        .with_ends_at("c")
        .receive(&[drawn(0.8, 3, "enqueue", [0.0, 0.1]).th("8")])
        .until(500.0);
    let bad = world.stands_for().1;
    let learned = world.observed.clone();
    // Ends have become rarer since, which must not change what was counted.
    let world = world.with_ends_at("f");
    assert_ne!(world.observed, learned);
    let world = world
        .receive(&[drawn(0.8, 4, "finish", [50.0, 51.0]).th("c")])
        .adds_up();
    assert_eq!((bad, world.stands_for().1), (4_000_000, 0));
}

#[test]
fn s20_ends_with_numbers_of_their_own_leave_silence_without_a_meaning() {
    let slo = || WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    };
    let spans = [
        drawn(0.8, 1, "enqueue", [-600.0, -600.0]).with("order.id", 1),
        drawn(0.9, 2, "finish", [-599.0, -598.0])
            .th("8")
            .with("order.id", 1),
        drawn(0.99, 3, "enqueue", [0.0, 0.1]).with("order.id", 2),
    ];
    let world = SloUnderTest::workflow(slo())
        .receive(&spans)
        .until(10_000.0)
        .adds_up();
    assert_eq!(world.totals().unobservable, 1);
    let declared = Weighing {
        end_threshold: Some(Threshold::KEEPS_ALL),
        ..Weighing::default()
    };
    let world = SloUnderTest::weighing(&declared, Indicator::Workflow(slo()))
        .receive(&spans)
        .until(10_000.0)
        .adds_up();
    assert_eq!(world.totals().timeout, 1, "the definition knows better");
}

#[test]
fn s37_ends_that_do_not_say_it_weigh_what_the_definition_says_of_them_as_timeouts_do() {
    let declared = Weighing {
        end_threshold: Threshold::from_hex("e666"),
        ..Weighing::default()
    };
    let slo = || SloUnderTest::weighing(&declared, Indicator::Workflow(workflow_slo()));
    let end = |share, number: u8| drawn(share, number, "finish", [50.0, 51.0]);
    // The kept part of a thousand starts: the hundred ends of the last tenth, except one that never
    // came.
    let mut world = slo();
    for nth in 0..1_000_u16 {
        let share = (f64::from(nth) + 0.5) / 1_000.0;
        world = world.receive(&[drawn(share, 1, "enqueue", [0.0, 0.1])]);
        if (900..999).contains(&nth) {
            world = world.receive(&[end(share, 2)]);
        }
    }
    let counts = world.until(10_000.0).adds_up().totals();
    assert_eq!(
        (counts.good, counts.timeout, counts.unobservable),
        (99, 1, 900)
    );
    assert!((counts.bad_ratio().unwrap() - 0.01).abs() < 1e-9);
    // A span with a sampling probability, and one that this sampler would not have kept.
    let said = slo().receive(&[drawn(0.95, 1, "enqueue", [0.0, 0.1]), end(0.95, 2).th("8")]);
    assert_eq!(said.stands_for().0, 2_000_000);
    let other = slo().receive(&[drawn(0.5, 1, "enqueue", [0.0, 0.1]), end(0.5, 2)]);
    assert_eq!(other.stands_for().0, 1_000_000);
}

#[test]
fn s20_a_weight_that_cannot_be_true_is_counted_and_unknown() {
    for trace_state in ["ot=th:", "ot=th:C", "ot=th:123456789abcdef", "ot=th:c"] {
        let span = drawn(0.5, 1, "finish", [0.0, 1.0]).with_trace_state(trace_state);
        let world = span_world(&Weighing::default()).receive(std::slice::from_ref(&span));
        assert_eq!(
            world.unusable,
            BTreeMap::from([(DiscardReason::InvalidSampling, 1)])
        );
        assert_eq!(world.stands_for(), (1_000_000, 0), "{trace_state}");
        let strict = Weighing {
            unknown: UnknownWeight::Reject,
            ..Weighing::default()
        };
        let world = span_world(&strict).receive(&[span]).has_none();
        assert_eq!(
            world.unusable,
            BTreeMap::from([(DiscardReason::InvalidSampling, 1)])
        );
    }
    let huge = drawn(0.999_999_999, 1, "finish", [0.0, 1.0]).th("ffffff");
    let world = span_world(&Weighing::default()).receive(&[huge]);
    assert_eq!(
        world.unusable,
        BTreeMap::from([(DiscardReason::CappedWeight, 1)])
    );
    assert_eq!(world.stands_for().0, Weight::MOST.millionths());
}

#[test]
fn s20_a_span_that_says_nothing_counts_what_the_definition_says() {
    let with = |unknown| {
        span_world(&Weighing {
            unknown,
            ..Weighing::default()
        })
        .receive(&[drawn(0.1, 1, "finish", [0.0, 1.0])])
    };
    assert_eq!(with(UnknownWeight::One).stands_for(), (1_000_000, 0));
    assert_eq!(with(UnknownWeight::One).totals().sampled, 0);
    let five = UnknownWeight::Fixed(Threshold::of_count(5.0).unwrap());
    assert_eq!(with(five).stands_for(), (5_000_000, 0));
    let rejected = with(UnknownWeight::Reject).has_none();
    assert_eq!(
        rejected.unusable,
        BTreeMap::from([(DiscardReason::UnknownWeight, 1)])
    );
}

#[test]
fn s20_other_encodings_are_read_where_the_definition_says_so_and_only_there() {
    let attribute = |meaning| SamplingEncoding::Attribute {
        attribute: Name {
            scope: AttributeScope::Span,
            key: "SampleRate".to_owned(),
        },
        meaning,
    };
    let plain = || drawn(0.97, 1, "finish", [0.0, 1.0]);
    let cases = [
        (attribute(Meaning::Count), plain().with("SampleRate", 20)),
        (attribute(Meaning::Count), plain().with("SampleRate", "20")),
        (attribute(Meaning::Ratio), plain().with("SampleRate", 0.05)),
        (
            SamplingEncoding::Elastic,
            plain().with_trace_state("es=s:0.05"),
        ),
        (
            SamplingEncoding::Attributes,
            plain()
                .with("sampling.threshold", "f3333333333333")
                .with("sampling.randomness", "f8000000000000"),
        ),
    ];
    for (encoding, span) in cases {
        let ignored = span_world(&Weighing::default()).receive(std::slice::from_ref(&span));
        assert_eq!(ignored.stands_for(), (1_000_000, 0), "{encoding:?}");
        let weighing = Weighing {
            encoding: encoding.clone(),
            ..Weighing::default()
        };
        let read = span_world(&weighing).receive(&[span]);
        assert_eq!(read.stands_for(), (20_000_000, 0), "{encoding:?}");
    }
    let powers = Weighing {
        encoding: SamplingEncoding::PowerOfTwo,
        ..Weighing::default()
    };
    let span = plain().with_trace_state("ot=p:3;r:4");
    assert_eq!(
        span_world(&powers).receive(&[span]).stands_for(),
        (8_000_000, 0)
    );
}

/// The worked example of section 6.3: a start sampler of 50 %, an end sampler of 25 %, 2 % truly
/// late. A count weighted by starts would regard half of all as bad; the check of ends finds the
/// truth.
#[test]
fn s20_a_laxer_sampler_at_the_start_than_at_the_end_gives_no_false_bad() {
    let (half, quarter) = (Threshold::of_power(1), Threshold::of_power(2));
    let count = 4_000_u32;
    let (mut naive_bad, mut naive_total) = (0, 0);
    let mut spans = vec![
        drawn(0.999, 1, "enqueue", [-600.0, -600.0]),
        drawn(0.999, 2, "finish", [-599.0, -598.0]).th("0"),
    ];
    for number in 0..count {
        // Equal steps around the circle by the golden ratio: evenly distributed, and in no order.
        let share = (f64::from(number) * 0.618_033_988_749_895).fract();
        let is_late = number % 50 == 0;
        let end = if is_late { 100.0 } else { 30.0 };
        let start = drawn(share, 1, "enqueue", [0.0, 0.0]).th("8");
        let finish = drawn(share, 2, "finish", [end, end]).th("c");
        let randomness = Randomness::of_trace(start.trace_id);
        if randomness.is_kept_by(half) {
            naive_total += 2;
            let is_seen_in_time = randomness.is_kept_by(quarter) && !is_late;
            naive_bad += i32::from(!is_seen_in_time) * 2;
            spans.push(start);
        }
        if randomness.is_kept_by(quarter) {
            spans.push(finish);
        }
    }
    let world = sampled().receive(&spans).until(10_000.0).adds_up();
    let counts = world.totals();
    let close = |actual: f64, expected: f64, tolerance: f64| {
        assert!(
            (actual - expected).abs() < tolerance,
            "{actual}, not {expected}"
        );
    };
    close(f64::from(naive_bad) / f64::from(naive_total), 0.51, 0.002);
    close(counts.bad_ratio().unwrap(), 0.02, 0.001);
    close(counts.weighted_total(), f64::from(count), 8.0);
    assert_eq!(counts.timeout, 0);
    close(
        f64::from(u32::try_from(counts.unobservable).unwrap()),
        1_000.0,
        3.0,
    );
}

fn threshold() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("0"),
        Just("4"),
        Just("8"),
        Just("a"),
        Just("c"),
        Just("xyz")
    ]
}

proptest! {
    /// Sums are of integers, and corrections subtract what was added: in any order, the result is
    /// the weight of the verdicts, and always the same.
    #[test]
    fn s20_any_order_of_sampled_spans_gives_the_same_sums(
        thresholds in proptest::collection::vec((threshold(), threshold()), 1..6),
        order in proptest::collection::vec((any::<prop::sample::Index>(), 0_u16..60), 0..12),
    ) {
        let mut spans = Vec::new();
        for (number, (start, finish)) in (0_u8..).zip(&thresholds) {
            let share = 0.76 + f64::from(number) * 0.03;
            spans.push(drawn(share, 1, "enqueue", [0.0, 0.1]).th(start));
            spans.push(drawn(share, 2, "finish", [20.0 + f64::from(number) * 20.0; 2]).th(finish));
        }
        let in_order = sampled().receive(&spans).until(10_000.0).adds_up();
        let mut world = sampled();
        for (index, _) in order {
            world = world.receive(&[spans[index.index(spans.len())].clone()]);
        }
        let shuffled = world.receive(&spans).until(10_000.0).adds_up();
        prop_assert_eq!(in_order.totals(), shuffled.totals());
    }
}

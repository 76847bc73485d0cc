//! Breakdowns of workflows: by examples, and by laws.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    model::{
        ids::TraceId,
        sampling::Weight,
        time::{TimeRange, Timestamp},
    },
    slo::{DeclaredStage, Edge, Extent, Stages},
    traceql::Selector,
    workflow::Intervals,
};

fn at(secs: f64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280) + Duration::from_secs_f64(secs)
}

fn range(from: f64, to: f64) -> TimeRange {
    TimeRange::new(at(from), at(to))
}

fn piece(
    kind: StageEvidenceKind,
    name: &str,
    service: &str,
    (from, to): (f64, f64),
) -> StageEvidence {
    StageEvidence {
        kind,
        from: at(from),
        to: at(to),
        name: name.to_owned(),
        service: service.to_owned(),
        deliver_at: None,
        trace_id: TraceId::from_slice(&[7; 16]).unwrap(),
        is_error: false,
    }
}

fn sent(queue: &str, from: f64, to: f64) -> StageEvidence {
    piece(StageEvidenceKind::Producer, queue, "shop", (from, to))
}

fn taken(queue: &str, service: &str, from: f64, to: f64) -> StageEvidence {
    piece(StageEvidenceKind::Consumer, queue, service, (from, to))
}

fn read(breakdown: &Breakdown) -> Vec<(String, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
    let secs = |micros: i64| micros as f64 / 1e6;
    let parts = breakdown.0.iter();
    parts
        .map(|part| (part.stage.title(), secs(part.micros)))
        .collect()
}

fn expect(breakdown: &Breakdown, expected: &[(&str, f64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(title, secs)| ((*title).to_owned(), *secs))
        .collect();
    assert_eq!(read(breakdown), expected);
}

fn ended(to: f64, pieces: &[StageEvidence]) -> Breakdown {
    let timeline = Timeline {
        range: range(0.0, to),
        pauses: &Intervals::default(),
        ending: TimelineEnd::Ended,
    };
    break_down(timeline, pieces, &Stages::Auto)
}

#[test]
fn s22_waits_and_processing_add_up_to_the_whole() {
    let pieces = [
        sent("jobs", 0.0, 0.1),
        taken("jobs", "worker", 15.0, 35.0),
        sent("mails", 34.0, 34.5),
        taken("mails", "mailer", 40.0, 41.0),
    ];
    expect(
        &ended(41.0, &pieces),
        &[
            ("wait in jobs", 14.9),
            ("wait in mails", 5.0),
            ("mailer", 1.0),
            ("shop", 0.6),
            ("worker", 19.5),
        ],
    );
}

#[test]
fn before_the_message_was_sent_nobody_waits_for_it() {
    let pieces = [sent("jobs", 3.0, 3.5), taken("jobs", "worker", 5.0, 6.0)];
    expect(
        &ended(7.0, &pieces),
        &[
            ("wait in jobs", 1.5),
            ("shop", 0.5),
            ("worker", 1.0),
            ("other", 4.0),
        ],
    );
}

#[test]
fn a_queue_whose_sender_is_not_traced_is_waited_in_all_the_same() {
    let pieces = [taken("jobs", "worker", 5.0, 6.0)];
    expect(
        &ended(6.0, &pieces),
        &[("wait in jobs", 5.0), ("worker", 1.0)],
    );
}

#[test]
fn between_attempts_the_message_waits_in_its_queue_again() {
    let pieces = [
        sent("jobs", 0.0, 0.0),
        taken("jobs", "worker", 10.0, 11.0),
        taken("jobs", "worker", 20.0, 21.0),
        taken("jobs", "worker", 41.0, 43.0),
    ];
    expect(
        &ended(43.0, &pieces),
        &[("wait in jobs", 39.0), ("worker", 4.0)],
    );
}

#[test]
fn what_began_last_has_the_time_of_those_who_wait_for_it() {
    let pieces = [
        taken("orders", "orders", 0.0, 10.0),
        taken("cards", "cards", 2.0, 5.0),
    ];
    expect(&ended(10.0, &pieces), &[("cards", 3.0), ("orders", 7.0)]);
}

#[test]
fn an_intended_delay_is_no_wait() {
    let mut message = sent("jobs", 0.0, 0.0);
    message.deliver_at = Some(at(30.0));
    let pieces = [message, taken("jobs", "worker", 32.0, 33.0)];
    expect(
        &ended(33.0, &pieces),
        &[
            ("wait in jobs", 2.0),
            ("intended delay in jobs", 30.0),
            ("worker", 1.0),
        ],
    );
}

#[test]
fn a_pause_is_apart_whatever_else_goes_on() {
    let pieces = [
        sent("jobs", 0.0, 1.0),
        taken("jobs", "worker", 5.0, 20.0),
        taken("jobs", "worker", 30.0, 31.0),
    ];
    let mut pauses = Intervals::from(range(10.0, 18.0));
    pauses.join(&range(17.0, 25.0).into());
    let timeline = Timeline {
        range: range(0.0, 31.0),
        pauses: &pauses,
        ending: TimelineEnd::Ended,
    };
    expect(
        &break_down(timeline, &pieces, &Stages::Auto),
        &[
            ("wait in jobs", 9.0),
            ("shop", 1.0),
            ("worker", 6.0),
            ("paused", 15.0),
        ],
    );
}

#[test]
fn the_wait_of_an_open_workflow_goes_on() {
    let pieces = [
        sent("jobs", 0.0, 0.0),
        taken("jobs", "worker", 2.0, 3.0),
        sent("mails", 2.5, 3.0),
    ];
    let open = |ending| {
        let timeline = Timeline {
            range: range(0.0, 60.0),
            pauses: &Intervals::default(),
            ending,
        };
        read(&break_down(timeline, &pieces, &Stages::Auto))
    };
    assert!(open(TimelineEnd::Open).contains(&("wait in mails".to_owned(), 57.0)));
    assert!(open(TimelineEnd::Ended).contains(&("other".to_owned(), 57.0)));
}

#[test]
fn what_comes_after_the_end_does_not_count() {
    let pieces = [
        taken("jobs", "worker", 5.0, 70.0),
        taken("audit", "auditor", 50.0, 51.0),
    ];
    expect(
        &ended(10.0, &pieces),
        &[("wait in jobs", 5.0), ("worker", 5.0)],
    );
}

#[test]
fn a_workflow_that_took_no_time_has_no_stages() {
    assert_eq!(ended(0.0, &[taken("jobs", "worker", 0.0, 3.0)]).0, []);
}

fn declared() -> Stages {
    let selector = || Selector::parse("{ true }").unwrap();
    Stages::Declared(vec![
        DeclaredStage {
            name: "waiting for a worker".to_owned(),
            extent: Extent::Between {
                from: Edge::OfWorkflow,
                to: Edge::Span(selector()),
            },
        },
        DeclaredStage {
            name: "deploying".to_owned(),
            extent: Extent::Span(selector()),
        },
        DeclaredStage {
            name: "announcing".to_owned(),
            extent: Extent::Between {
                from: Edge::Span(selector()),
                to: Edge::OfWorkflow,
            },
        },
    ])
}

#[test]
fn declared_stages_take_the_place_of_queues_and_services() {
    let pieces = [
        piece(
            StageEvidenceKind::To,
            "waiting for a worker",
            "",
            (12.0, 20.0),
        ),
        piece(StageEvidenceKind::Whole, "deploying", "", (12.0, 20.0)),
        piece(StageEvidenceKind::From, "announcing", "", (21.0, 25.0)),
        taken("jobs", "worker", 12.0, 20.0),
    ];
    let timeline = Timeline {
        range: range(0.0, 30.0),
        pauses: &Intervals::default(),
        ending: TimelineEnd::Ended,
    };
    expect(
        &break_down(timeline, &pieces, &declared()),
        &[
            ("announcing", 5.0),
            ("deploying", 8.0),
            ("waiting for a worker", 12.0),
            ("other", 5.0),
        ],
    );
}

fn pieces() -> impl Strategy<Value = Vec<StageEvidence>> {
    let one = (
        0_usize..5,
        -5_i32..40,
        0_i32..20,
        0_usize..3,
        proptest::option::of(0_i32..50),
    );
    let piece = |(kind, from, length, name, delay): (usize, i32, i32, usize, Option<i32>)| {
        let from = f64::from(from + 10);
        let kind = StageEvidenceKind::ALL[kind];
        let names = if kind > StageEvidenceKind::Consumer {
            ["waiting for a worker", "deploying", "announcing"]
        } else {
            ["jobs", "mails", ""]
        };
        StageEvidence {
            deliver_at: delay.map(|delay| at(from + f64::from(delay))),
            ..piece(
                kind,
                names[name],
                names[2 - name],
                (from, from + f64::from(length)),
            )
        }
    };
    proptest::collection::vec(one.prop_map(piece), 0..12)
}

proptest! {
    #[test]
    fn the_parts_add_up_and_order_and_copies_do_not_matter(
        pieces in pieces(),
        (from, length) in (0_i32..30, 0_i32..40),
        pause in (0_i32..50, 0_i32..10),
        is_open: bool,
        is_declared: bool,
        seed in any::<prop::sample::Index>(),
    ) {
        let range = range(f64::from(from + 10), f64::from(from + 10 + length));
        let pause = TimeRange::new(at(f64::from(pause.0)), at(f64::from(pause.0 + pause.1)));
        let pauses = Intervals::from(pause);
        let timeline = Timeline {
            range,
            pauses: &pauses,
            ending: if is_open { TimelineEnd::Open } else { TimelineEnd::Ended },
        };
        let stages = if is_declared { declared() } else { Stages::Auto };
        let whole = break_down(timeline, &pieces, &stages);
        prop_assert_eq!(u128::try_from(whole.total_micros()).unwrap(), range.length().as_micros());
        prop_assert!(whole.0.iter().all(|part| part.micros > 0));

        let mut shuffled = pieces.clone();
        shuffled.reverse();
        if !pieces.is_empty() {
            shuffled.rotate_left(seed.index(pieces.len()));
            shuffled.push(pieces[seed.index(pieces.len())].clone());
        }
        prop_assert_eq!(break_down(timeline, &shuffled, &stages), whole);
    }

    #[test]
    fn what_was_added_can_be_taken_away_without_a_trace(
        first in pieces(), second in pieces(), length in 1_i32..60,
    ) {
        let (first, second) = (ended(f64::from(length), &first), ended(20.0, &second));
        let mut sums = StageSums::default();
        sums.add(&first, None, 1);
        let before = sums.clone();
        sums.add(&second, None, 1);
        sums.add(&second, None, -1);
        sums.by_stage.retain(|_, sum| !sum.is_zero());
        prop_assert_eq!(sums, before);
    }

    #[test]
    fn means_add_up_to_the_total_and_shares_to_one(good in pieces(), bad in pieces()) {
        let (mut all_good, mut all_bad) = (StageSums::default(), StageSums::default());
        all_good.add(&ended(15.0, &good), None, 1);
        all_bad.add(&ended(55.0, &bad), None, 1);
        let where_it_goes = WhereTimeGoes::new(&all_good, &all_bad);
        let sum = |part: fn(&StageMean) -> Option<f64>| -> f64 {
            where_it_goes.stages.iter().filter_map(part).sum()
        };
        prop_assert!((sum(|mean| mean.good_secs) - 15.0).abs() < 1e-9);
        prop_assert!((sum(|mean| mean.bad_secs) - 55.0).abs() < 1e-9);
        prop_assert!((sum(|mean| mean.share_of_excess) - 1.0).abs() < 1e-9);
        let mut shares = where_it_goes.stages.iter().filter_map(|mean| mean.share_of_excess);
        prop_assert!(shares.all(|share| (0.0..=1.0 + 1e-9).contains(&share)));
        prop_assert!(where_it_goes.slowest().is_some());
    }
}

#[test]
fn stages_come_in_the_order_of_the_way_and_the_slowest_is_told() {
    let workflow = |wait: f64| {
        ended(
            wait + 3.0,
            &[
                sent("zeta", 0.0, 1.0),
                taken("zeta", "alpha", wait + 1.0, wait + 3.0),
            ],
        )
    };
    let (mut good, mut bad) = (StageSums::default(), StageSums::default());
    good.add(&workflow(2.0), None, 1);
    good.add(&workflow(4.0), None, 1);
    bad.add(&workflow(30.0), None, 1);
    let found = WhereTimeGoes::new(&good, &bad);
    let titles: Vec<_> = found.stages.iter().map(|mean| mean.stage.title()).collect();
    assert_eq!(titles, ["shop", "wait in zeta", "alpha"]);
    let slowest = found.slowest().unwrap();
    assert_eq!(slowest.stage.title(), "wait in zeta");
    assert!((slowest.share_of_excess.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(
        WhereTimeGoes::new(&good, &StageSums::default()).slowest(),
        None
    );
}

#[test]
fn s20_the_time_of_a_sampled_workflow_counts_for_all_that_it_stands_for() {
    let workflow = |wait: f64| {
        let pieces = [
            sent("orders", 0.0, 0.0),
            taken("orders", "shop", wait, wait + 1.0),
        ];
        ended(wait + 1.0, &pieces)
    };
    let mut sums = StageSums::default();
    sums.add(&workflow(10.0), None, 1);
    let four = Weight::from_millionths(4_000_000);
    sums.add(&workflow(20.0), Some(four), 1);
    assert_eq!((sums.workflows, sums.unseen), (2, 3_000_000));
    let means = WhereTimeGoes::new(&sums, &StageSums::default());
    assert!((means.good_secs.unwrap() - 19.0).abs() < 1e-9, "{means:?}");
    let third = Weight::from_millionths(3_000_046);
    let before = sums.clone();
    sums.add(&workflow(7.3), Some(third), 1);
    sums.add(&workflow(7.3), Some(third), -1);
    assert_eq!(sums, before, "what is taken away is what was added");
}

#[test]
fn workflows_outside_of_the_sample_have_a_duration_and_are_in_no_mean() {
    let whole = |wait: f64| {
        let pieces = [
            sent("orders", 0.0, 0.0),
            taken("orders", "shop", wait, wait + 1.0),
        ];
        ended(wait + 1.0, &pieces)
    };
    let left_out = |secs: f64| Breakdown::unsampled(TimeRange::new(at(0.0), at(secs)));
    let four = Some(Weight::from_millionths(4_000_000));
    let (mut good, mut bad) = (StageSums::default(), StageSums::default());
    good.add(&whole(2.0), None, 1);
    bad.add(&whole(10.0), None, 1);
    let only_whole = WhereTimeGoes::new(&good, &bad);
    for secs in [7.0, 70.0, 700.0] {
        let mut breakdown = left_out(secs);
        assert_eq!(KnownStages::default().admit(&mut breakdown), 0);
        good.add(&breakdown, four, 1);
    }
    assert!((good.durations.events() - 13.0).abs() < 1e-9);
    let found = WhereTimeGoes::new(&good, &bad);
    assert_eq!((found.good_workflows, found.bad_workflows), (4, 1));
    assert_eq!(found.good_sampled_ratio, Some(0.25));
    assert_eq!(found.bad_sampled_ratio, Some(1.0));
    assert_eq!(found.stages, only_whole.stages);
    assert_eq!((found.good_secs, found.bad_secs), (Some(3.0), Some(11.0)));

    let mut nothing = StageSums::default();
    nothing.add(&left_out(7.0), None, 1);
    let found = WhereTimeGoes::new(&nothing, &StageSums::default());
    assert_eq!(
        (found.good_secs, found.good_sampled_ratio),
        (None, Some(0.0))
    );
    assert_eq!(found.stages, []);
}
